"""Redelivery: jobs whose delivery is due, or got lost on its way, are delivered under a new number (I9)."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Float, Row, Select, bindparam, select, tuple_, update

from generation_service.database import Database, db_now
from generation_service.database.tables import jobs
from generation_service.jobs import claims, transitions
from generation_service.jobs.leisure import Leisure
from generation_service.jobs.model import Backend, Job, JobId
from generation_service.jobs.ports import DeliveryBackend

_BATCH = 250  # so many are delivered by one transaction
_LOOK_BATCH = 500

# Of thousands of jobs at a time nothing else is read.
_SEEN = (jobs.c.id, jobs.c.fence, jobs.c.delivery, jobs.c.priority)
_Seen = Row[Any, Any, Any, Any]

Cursor: TypeAlias = tuple[int, str]
"""Where a page of what waits has ended, in the order in which it is pulled: priority and id of its last job."""

START: Cursor = (-1, "")


class Redelivery:
    """Delivers what was not, and looks for what was; for the process that leads recovery."""

    def __init__(
        self, *, database: Database, backends: Mapping[Backend, DeliveryBackend], redelivery_seconds: float
    ) -> None:
        self._database = database
        self._backends = backends
        self._redelivery_seconds = redelivery_seconds
        self._doubted: dict[str, int] = {}  # job -> number of the delivery that was missing last time
        self._look_at = 0.0  # monotonic: no look for lost deliveries before

    async def deliver_undelivered(self) -> None:
        """Deliver what was released, rescued or has become due; while paused it would only come back."""
        while seen := await self._database.read(_find_undelivered):
            if not await self._deliver(seen):
                return  # somebody else holds these rows just now: the next turn comes back

    async def deliver_lost(self, is_over: Callable[[], bool] = lambda: False) -> None:
        """Deliver again what was delivered a while ago and has not arrived, twice in a row; at leisure.

        Where a backend looks at all it holds, jobs are read that were delivered before: so none has arrived since.
        Mostly none waits for so long, and then the backend is not asked. Given up once `is_over()`: what it had not
        reached by then is no longer doubted, and waits for two looks more.
        """
        backend = self._backends.get("rq")
        if backend is None or time.monotonic() < self._look_at:
            return
        before, any_waits = await self._database.read(self._delivered_before)
        try:
            doubted = await self._find_lost(backend, before, is_over) if any_waits else {}
        except ConnectionError:
            return  # it cannot be told what is lost; what was doubted stays doubted
        self._doubted = doubted
        self._look_at = time.monotonic() + (0.0 if doubted else self._redelivery_seconds / 2)

    async def _find_lost(
        self, backend: DeliveryBackend, before: datetime, is_over: Callable[[], bool]
    ) -> dict[str, int]:
        """Deliver what was missing last time and is so still; job -> delivery of all that is missing now.

        `before` is a time before now, so that what is delivered meanwhile is not taken for missing.
        Raises ConnectionError.
        """
        leisure = Leisure()
        has_arrived = await asyncio.to_thread(backend.look)
        await leisure.rest()
        doubted: dict[str, int] = {}
        after = START
        while not is_over() and (seen := await self._waiting_since(before, after)):
            missing = [one for one in seen if not has_arrived(JobId(one.id), one.delivery)]
            lost = [one for one in missing if self._doubted.get(one.id) == one.delivery]
            for begin in range(0, len(lost), _BATCH):
                await self._deliver(lost[begin : begin + _BATCH])
            doubted |= {one.id: one.delivery for one in missing}
            after = (seen[-1].priority, seen[-1].id)
            if not lost:  # what was lost waits for no pause; the next rest makes up for it
                await leisure.rest()
        return doubted

    def _delivered_before(self, connection: Connection) -> tuple[datetime, bool]:
        """The time before which a delivery is old, and whether a job waits that was delivered before it."""
        before, any_waits = connection.execute(_OLD, {"seconds": -self._redelivery_seconds}).one()
        return before, any_waits

    async def _waiting_since(self, before: datetime, after: Cursor) -> Sequence[_Seen]:
        """A page of jobs that were delivered to RQ before that time and still wait."""
        return await self._database.read(
            lambda connection: find_delivered(connection, before, after=after, limit=_LOOK_BATCH)
        )

    async def _deliver(self, seen: Sequence[_Seen]) -> int:
        """Deliver jobs as they were seen: the next delivery's number is committed before it is made; how many."""
        numbered = await self._database.write(lambda connection: _number(connection, seen)) if seen else []
        for name, backend in self._backends.items():
            backend.deliver([job for job in numbered if job.backend == name])
        return len(numbered)


def undelivered() -> list[ColumnElement[bool]]:
    """What is to be delivered now: a job that waits, is due and not held up, and was given to nobody."""
    return [jobs.c.status == "pending", jobs.c.delivered_at.is_(None), claims.is_due(), ~claims.is_paused()]


def find_delivered(connection: Connection, before: datetime, *, after: Cursor, limit: int) -> Sequence[_Seen]:
    """A page of what waits at RQ and was delivered before that time, behind `after`.

    In the order of the index of what is pulled: no page costs more than its own rows, whatever is known of the table.
    """
    place = (jobs.c.priority, jobs.c.id)
    behind = tuple_(*place) > tuple_(*after)
    return connection.execute(select(*_SEEN).where(*_at_rq(before), behind).order_by(*place).limit(limit)).all()


def _at_rq(before: Any) -> list[ColumnElement[bool]]:
    """What waits at RQ and was delivered before a time, or an expression of one."""
    return [jobs.c.status == "pending", jobs.c.backend == "rq", jobs.c.delivered_at < before]


def _old() -> Select[Any]:
    """The time that is `seconds` from now, and whether a job waits at RQ that was delivered before it."""
    moment = select(db_now(bindparam("seconds", type_=Float())).label("before")).cte("moment")
    waits = select(jobs.c.id).where(*_at_rq(moment.c.before)).exists()
    return select(moment.c.before, waits)


_OLD = _old()  # asked for every few seconds, also while nothing happens: built once


def _find_undelivered(connection: Connection) -> Sequence[_Seen]:
    return connection.execute(select(*_SEEN).where(*undelivered()).order_by(jobs.c.id).limit(_BATCH)).all()


def _number(connection: Connection, seen: Sequence[_Seen]) -> list[Job]:
    rows = [(one.id, one.fence, one.delivery) for one in seen]
    as_seen = (tuple_(jobs.c.id, jobs.c.fence, jobs.c.delivery).in_(rows), jobs.c.status == "pending")
    free = select(jobs.c.id).where(*as_seen).order_by(jobs.c.id).with_for_update(key_share=True, skip_locked=True)
    statement = (
        update(jobs)
        .where(jobs.c.id.in_(select(free.cte("free").c.id)), *as_seen)
        .values(delivery=jobs.c.delivery + 1, delivered_at=db_now())
        .returning(*jobs.c)
    )
    return [transitions.job_of(row) for row in connection.execute(statement)]
