"""The totals of the whole service: what each process counted, added to rows that all share."""

import json
from collections.abc import Mapping

from sqlalchemy import Connection, select

from generation_service.database.engine import Database
from generation_service.database.tables import metric_totals
from generation_service.database.upsert import upsert
from generation_service.errors import DatabaseUnavailable
from generation_service.telemetry import Totals
from generation_service.telemetry.totals import Series


async def flush(database: Database, totals: Totals) -> None:
    """Add what this process has counted since the last flush. Raises DatabaseUnavailable; then nothing is lost.

    Where only the answer of the commit was lost, the same counts may be added twice: these are metrics, not a ledger.
    """
    taken = totals.take()
    if not taken:
        return
    try:
        await database.write(lambda connection: add(connection, taken))
    except DatabaseUnavailable:
        totals.give_back(taken)
        raise


def add(connection: Connection, taken: Mapping[Series, float]) -> None:
    """Raise the rows of these series; in order of their keys, so that no two processes wait for each other."""
    rows = sorted((name, json.dumps(labels), amount) for (name, labels), amount in taken.items())
    statement = upsert(connection, metric_totals).values(
        [{"name": name, "labels": labels, "value": amount} for name, labels, amount in rows]
    )
    raised = {"value": metric_totals.c.value + statement.excluded.value}
    connection.execute(statement.on_conflict_do_update(index_elements=["name", "labels"], set_=raised))


def read(connection: Connection) -> dict[Series, float]:
    """All series and their totals."""
    rows = connection.execute(select(metric_totals))
    return {(row.name, tuple((key, value) for key, value in json.loads(row.labels))): row.value for row in rows}
