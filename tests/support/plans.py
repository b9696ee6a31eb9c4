"""What statements cost, by the database's own account: the plan of each that is executed, and how much it looks at."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, event

from generation_service.database import Database

LARGE = ("jobs", "events", "steps", "usage", "idempotency_keys", "pruned_jobs", "dead_letters", "alerts", "episodes")
MOST_ROWS = 1_500
"""Of a large table that one statement may look at: what is live, or a batch. There are many more."""

_LIVE_INDEXES = ("ix_jobs_pull", "ix_jobs_waiting", "ix_jobs_undelivered", "ix_jobs_running", "ix_jobs_live_user")
_EXPLAINED = ("SELECT", "UPDATE", "DELETE", "INSERT", "WITH")
_STEPS_AT_ONCE = 1_000  # of SQLite's virtual machine
_MOST_STEPS = 60 * _STEPS_AT_ONCE


@dataclass(slots=True)
class Watched:
    """The statements that were executed, and what there is to be said against some of them."""

    statements: list[str] = field(default_factory=list)
    offences: list[str] = field(default_factory=list)

    def complain(self, statement: str, part: str) -> None:
        self.offences.append(f"{part}\n    in: {' '.join(statement.split())[:1500]}")


@contextmanager
def watched(database: Database) -> Iterator[Watched]:
    """Look at every statement that anybody executes on this database meanwhile.

    On PostgreSQL each is first executed for its plan alone (EXPLAIN ANALYZE), and undone.
    """
    seen = Watched()
    look = _sqlite_looker(seen) if database.dialect == "sqlite" else _postgresql_looker(seen)

    def before(connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.lstrip().upper().startswith(_EXPLAINED):
            seen.statements.append(statement)
            for one in parameters[:1] if isinstance(parameters, list) else [parameters]:
                look(connection.connection.driver_connection, statement, one)

    engines = {database._writing, database._reading}
    for engine in engines:
        event.listen(engine, "before_cursor_execute", before)
    try:
        yield seen
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", before)


def _sqlite_looker(seen: Watched) -> Any:
    """Judges plans, and counts the steps of each statement until its connection begins another."""
    taken: Counter[tuple[int, str]] = Counter()

    def look(raw: Any, statement: str, parameters: Any) -> None:
        for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters):
            if _scans(row[3], limited=" LIMIT " in statement):
                seen.complain(statement, row[3])
        this = (len(seen.statements), statement)

        def count() -> int:
            taken[this] += _STEPS_AT_ONCE
            if taken[this] == _MOST_STEPS:
                seen.complain(statement, f"over {_MOST_STEPS} steps")
            return 0

        raw.set_progress_handler(count, _STEPS_AT_ONCE)

    return look


def _scans(step: str, *, limited: bool) -> bool:
    """Whether it goes through a whole large table, or through an index of it that is not of what is live."""
    words = step.split()
    if words[0] != "SCAN" or words[1] not in LARGE or words[-1] in _LIVE_INDEXES:
        return False
    return not (limited and "USING" in words)  # in order, until enough is found: the steps are counted


def _postgresql_looker(seen: Watched) -> Any:
    """Judges by how many rows of a large table each part of a plan has looked at."""

    def look(raw: Any, statement: str, parameters: Any) -> None:
        # What is carried out for the sake of its plan is undone: in a connection that commits by itself, too.
        with raw.cursor() as cursor:
            cursor.execute("BEGIN" if raw.autocommit else "SAVEPOINT looking")
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) {statement}", parameters)
            found = cursor.fetchone()[0]
            cursor.execute("ROLLBACK" if raw.autocommit else "ROLLBACK TO SAVEPOINT looking")
            if not raw.autocommit:
                cursor.execute("RELEASE SAVEPOINT looking")
        for part in _nodes(found[0]["Plan"]):
            rows = _looked_at(part)
            if rows > MOST_ROWS:
                name = f"{part['Node Type']} of {part['Relation Name']} by {part.get('Index Name')}"
                seen.complain(statement, f"{name}: {rows:.0f} rows")

    return look


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _looked_at(part: Mapping[str, Any]) -> float:
    if "Scan" not in part["Node Type"] or not str(part.get("Relation Name", "")).startswith(LARGE):
        return 0
    removed = sum(part.get(f"Rows Removed by {by}", 0) for by in ("Filter", "Index Recheck"))
    return float((part["Actual Rows"] + removed) * part["Actual Loops"])
