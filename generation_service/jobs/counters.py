"""The counters of the ledger: raised in the transactions they count, spread over rows that do not contend."""

import random
from typing import Literal

from sqlalchemy import Connection, func, select

from generation_service.database.tables import counters
from generation_service.database.upsert import upsert

Counter = Literal["accepted", "ended", "reopened"]

_SHARDS = 16


def count(connection: Connection, name: Counter, amount: int = 1) -> None:
    """Add to a counter; the last lock of its transaction, so that it is held shortest.

    Once a transaction: two that took several rows each, in no order, would wait for one another.
    """
    if not amount:
        return
    shard = random.randrange(_SHARDS) if connection.dialect.name == "postgresql" else 0  # noqa: S311 - spreads load
    statement = upsert(connection, counters).values(name=name, shard=shard, value=amount)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["name", "shard"], set_={"value": counters.c.value + statement.excluded.value}
        )
    )


def total(connection: Connection, name: Counter) -> int:
    """The counter's value."""
    summed = select(func.coalesce(func.sum(counters.c.value), 0)).where(counters.c.name == name)
    return int(connection.execute(summed).scalar_one())


def live(connection: Connection) -> int:
    """How many jobs wait or run, without counting jobs."""
    signs = {"accepted": 1, "reopened": 1, "ended": -1}
    rows = connection.execute(select(counters.c.name, func.sum(counters.c.value)).group_by(counters.c.name))
    return sum(signs[name] * int(value) for name, value in rows)
