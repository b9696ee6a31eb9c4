"""Reading event logs: what many readers wait for, found by one query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TypeAlias

from sqlalchemy import BigInteger, Connection, Integer, String, TextualSelect, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import JSON

from generation_service.database import Database
from generation_service.database.types import Json
from generation_service.jobs.model import JobEvent, JobId

Place: TypeAlias = tuple[JobId, int]
"""Where somebody is in a job's log: its events with a number above this one."""

MOST_PLACES = 1_000
"""So many places are looked at by one query."""

_MOST_EVENTS = 2_000  # so many events are read by one query; a log that is longer takes several
_FEWEST_EACH = 50

# The inner query ends at its limit: a log of millions is not read to find the next two thousand of it.
_ON_POSTGRESQL = """
    SELECT place.number, found.sequence, found.type, found.data
    FROM jsonb_to_recordset(:places) AS place(number integer, job_id varchar, after bigint)
    CROSS JOIN LATERAL (
        SELECT sequence, type, data FROM events
        WHERE events.job_id = place.job_id AND events.sequence > place.after
        ORDER BY sequence LIMIT :each
    ) AS found
    ORDER BY place.number, found.sequence LIMIT :most
"""
_ON_SQLITE = """
    SELECT json_extract(place.value, '$.number') AS number, found.sequence, found.type, found.data
    FROM json_each(:places) AS place CROSS JOIN events AS found ON found.rowid IN (
        SELECT rowid FROM events
        WHERE job_id = json_extract(place.value, '$.job_id') AND sequence > json_extract(place.value, '$.after')
        ORDER BY sequence LIMIT :each
    )
    ORDER BY number, found.sequence LIMIT :most
"""


def _statement(sql: str, places: JSON) -> TextualSelect:
    with_places = text(sql).bindparams(bindparam("places", type_=places))
    return with_places.columns(number=Integer(), sequence=BigInteger(), type=String(), data=Json)


_STATEMENTS = {"postgresql": _statement(_ON_POSTGRESQL, JSONB()), "sqlite": _statement(_ON_SQLITE, JSON())}


@dataclass(frozen=True, slots=True)
class LogPage:
    """The next events behind a place, in order; `whole` says that these are all there were."""

    events: Sequence[JobEvent]
    whole: bool


class EventLogs:
    """The event logs of all jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, places: Sequence[Place]) -> Mapping[Place, LogPage]:
        """What is behind each of these places (1,000 at most); those that are not answered are to be asked for again.

        The first is always answered.
        """
        return await self._database.read(lambda connection: read(connection, places))


def read(connection: Connection, places: Sequence[Place]) -> Mapping[Place, LogPage]:
    """As `EventLogs.read`, on a connection."""
    each = max(_FEWEST_EACH, _MOST_EVENTS // len(places))
    wanted = [{"number": number, "job_id": job_id, "after": after} for number, (job_id, after) in enumerate(places)]
    statement = _STATEMENTS[connection.dialect.name]
    rows = connection.execute(statement, {"places": wanted, "each": each, "most": _MOST_EVENTS}).all()
    cut_at = rows[-1].number if len(rows) == _MOST_EVENTS else len(places)
    pages = {place: LogPage((), whole=True) for place in places[:cut_at]}
    for number, found in groupby(rows, attrgetter("number")):
        job_id, _ = place = places[number]
        events = [JobEvent(job_id=job_id, sequence=row.sequence, type=row.type, data=row.data) for row in found]
        pages[place] = LogPage(events, whole=len(events) < each and number != cut_at)
    return pages
