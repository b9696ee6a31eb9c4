"""Partitions of the events on PostgreSQL: one for each month in which their jobs were accepted.

Ids of jobs are UUIDv7, so they sort by acceptance: a month of jobs is a range of ids, all events of a
job are in one partition, and what a job's reader asks for is in it. Ids of any other form, and those of
a month that nobody prepared, go to the partition `events_other`.
"""

import logging
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError

from generation_service.database.engine import Database
from generation_service.database.types import db_now
from generation_service.errors import DatabaseUnavailable

_log = logging.getLogger(__name__)

CLOCKS_AGREE = timedelta(hours=1)
"""Or better: the clocks of the processes, which make ids, with that of the database, which keeps times."""

MONTHS_AHEAD = 3

OTHER = "events_other"

_BEFORE = "events_before_"  # and the month that it ends with: what there was before there were partitions
_OF = "events_of_"  # and the month: events_of_2026_12
_LOCK = 4_771_205  # an arbitrary number that all processes of this service agree on
_LOCK_WAIT = "200ms"  # whoever waits for a table keeps waiting whoever comes for it afterwards


def first_id(moment: datetime) -> str:
    """The lowest UUIDv7 of an instant, as text: every id that was made before it is less."""
    milliseconds = max(0, int(moment.timestamp() * 1000))
    return str(UUID(int=milliseconds << 80 | 0x7 << 76 | 0x2 << 62))


def month_after(moment: datetime, months: int = 1) -> datetime:
    """The first instant of a later month, in UTC."""
    count = moment.year * 12 + moment.month - 1 + months
    return datetime(count // 12, count % 12 + 1, 1, tzinfo=UTC)


def name_of(month: datetime) -> str:
    """The partition of the jobs that were accepted in the month of this instant."""
    return f"{_OF}{month:%Y_%m}"


def name_before(month: datetime) -> str:
    """The partition of all jobs that were accepted before the month of this instant."""
    return f"{_BEFORE}{month:%Y_%m}"


def is_partition(table: str) -> bool:
    """Whether a table of this name is a partition of the events."""
    return table == OTHER or re.fullmatch(rf"({_BEFORE}|{_OF})\d{{4}}_\d{{2}}", table) is not None


def maintain(database: Database) -> None:
    """Make the partitions of the coming months, and drop those of months gone by that pruning has emptied.

    Each in a transaction of its own, once, whoever comes first. What the tables' users keep from happening
    is left to the next time: until then events go to `events_other`, or an empty partition stays.
    """
    if database.dialect != "postgresql":
        return
    try:
        now, there = database.read_now(_now), database.read_now(partitions)
        for month in (month_after(now, months) for months in range(MONTHS_AHEAD + 1)):
            if not _is_covered(month, there):
                _attempt(database, partial(create, month=month))
        for name in there:
            if _is_over(name, now) and database.read_now(partial(_is_empty, name=name)):
                _attempt(database, partial(drop_if_empty, name=name))
    except DatabaseUnavailable as error:
        _log.warning("Partitions of events are as they were: %s", error, extra={"action": "partitions_left"})


def partitions(connection: Connection) -> Sequence[str]:
    """The names of the partitions that stand for months, in order."""
    names = connection.execute(
        text("SELECT relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'events'::regclass")
    ).scalars()
    return sorted(name for name in names if name.startswith((_BEFORE, _OF)))


def create(connection: Connection, month: datetime) -> None:
    """Make the partition of a month; events of it that went to `events_other` meanwhile are moved in."""
    name, first, last = name_of(month), first_id(month), first_id(month_after(month))
    if not _has_turn(connection) or _is_covered(month, partitions(connection)):
        return
    # In the order in which everybody else comes by: a job, then its events. They are readable all the while.
    connection.execute(text("LOCK TABLE jobs IN SHARE ROW EXCLUSIVE MODE"))
    connection.execute(text("LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE"))
    connection.execute(text(f"CREATE TABLE {name} (LIKE events INCLUDING ALL)"))
    moved = f"DELETE FROM {OTHER} WHERE job_id >= :first AND job_id < :last RETURNING *"
    connection.execute(
        text(f"WITH moved AS ({moved}) INSERT INTO {name} SELECT * FROM moved"), {"first": first, "last": last}
    )
    connection.execute(text(f"ALTER TABLE events ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{last}')"))


def drop_if_empty(connection: Connection, name: str) -> None:
    """Drop a partition, if there is nothing in it."""
    if not _has_turn(connection) or name not in partitions(connection):
        return
    connection.execute(text("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE"))
    connection.execute(text("LOCK TABLE events IN ACCESS EXCLUSIVE MODE"))
    if _is_empty(connection, name):
        connection.execute(text(f"DROP TABLE {name}"))


def _now(connection: Connection) -> datetime:
    moment: datetime = connection.execute(select(db_now())).scalar_one()
    return moment


def _is_covered(month: datetime, names: Sequence[str]) -> bool:
    return name_of(month) in names or any(name.startswith(_BEFORE) and month < _month_of(name) for name in names)


def _is_over(name: str, now: datetime) -> bool:
    """Whether its last month ended over a month ago: nobody's clock makes ids of it any more."""
    last = _month_of(name) if name.startswith(_BEFORE) else month_after(_month_of(name))
    return last <= month_after(now, -1)


def _is_empty(connection: Connection, name: str) -> bool:
    return not connection.execute(text(f"SELECT EXISTS (SELECT 1 FROM {name})")).scalar_one()


def _month_of(name: str) -> datetime:
    return datetime.strptime(name[-len("2026_12") :], "%Y_%m").replace(tzinfo=UTC)


def _has_turn(connection: Connection) -> bool:
    """Whether nobody else is at it just now; and let no table be waited for for long."""
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'"))
    turn = text("SELECT pg_try_advisory_xact_lock(:lock)")
    return bool(connection.execute(turn, {"lock": _LOCK}).scalar_one())


def _attempt(database: Database, change: Callable[[Connection], None]) -> None:
    try:
        database.write_once_now(change)
    except (DatabaseUnavailable, DBAPIError) as error:
        _log.warning("A partition of events is left for later: %s", error, extra={"action": "partitions_left"})
