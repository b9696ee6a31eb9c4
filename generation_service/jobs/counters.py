"""The counters of the ledger: raised in the transactions they count, spread over rows that do not contend."""

import random
from collections import Counter as Tally
from typing import Literal

from sqlalchemy import Connection, delete, func, select, tuple_

from generation_service.database.rowsets import built_once
from generation_service.database.tables import counters, job_tallies
from generation_service.database.upsert import Insert, upsert, upsert_for

Counter = Literal["accepted", "ended", "reopened"]

_SHARDS = 16


def count(connection: Connection, name: Counter, amount: int = 1) -> None:
    """Add to a counter; the last lock of its transaction, so that it is held shortest.

    Once a transaction: two that took several rows each, in no order, would wait for one another.
    """
    if not amount:
        return
    shard = random.randrange(_SHARDS) if connection.dialect.name == "postgresql" else 0  # noqa: S311 - spreads load
    connection.execute(_raise(connection), {"name": name, "shard": shard, "value": amount})


@built_once
def _raise(dialect: str) -> Insert:
    statement = upsert_for(dialect, counters)
    raised = {"value": counters.c.value + statement.excluded.value}
    return statement.on_conflict_do_update(index_elements=["name", "shard"], set_=raised)


def total(connection: Connection, name: Counter) -> int:
    """The counter's value."""
    summed = select(func.coalesce(func.sum(counters.c.value), 0)).where(counters.c.name == name)
    return int(connection.execute(summed).scalar_one())


_SUMS = select(counters.c.name, func.sum(counters.c.value)).group_by(counters.c.name)


def live(connection: Connection) -> int:
    """How many jobs wait or run, without counting jobs."""
    signs = {"accepted": 1, "reopened": 1, "ended": -1}
    rows = connection.execute(_SUMS)
    return sum(signs[name] * int(value) for name, value in rows)


def fold_tallies(connection: Connection) -> None:
    """Add the tallies of connections that may be gone to one row each; those in use just now stay as they are."""
    own = select(job_tallies.c.status, job_tallies.c.backend, job_tallies.c.shard).where(job_tallies.c.shard != 0)
    keys = [tuple(row) for row in connection.execute(own.with_for_update(skip_locked=True))]
    if not keys:
        return
    mine = tuple_(job_tallies.c.status, job_tallies.c.backend, job_tallies.c.shard).in_(keys)
    gone = delete(job_tallies).where(mine).returning(job_tallies.c.status, job_tallies.c.backend, job_tallies.c.value)
    folded: Tally[tuple[str, str]] = Tally()
    for status, backend, value in connection.execute(gone):
        folded[status, backend] += value
    rows = [{"status": key[0], "backend": key[1], "shard": 0, "value": value} for key, value in sorted(folded.items())]
    statement = upsert(connection, job_tallies).values(rows)
    raised = {"value": job_tallies.c.value + statement.excluded.value}
    connection.execute(statement.on_conflict_do_update(index_elements=["status", "backend", "shard"], set_=raised))
