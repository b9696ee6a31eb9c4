"""Upkeep of programs: begins the retries at once, reopens what retries have taken, and sees when all is settled.

Each step is complete in itself, so any number of processes may do this and die anywhere.
"""

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, select, update

from generation_service.database import Database, db_now
from generation_service.database.programs import program_files, program_retries, program_retry_files, programs
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs.loops import Loop
from generation_service.jobs.ports import Delivery
from generation_service.jobs.service import Jobs
from generation_service.jobs.signs import Signs
from generation_service.programs import deletion
from generation_service.programs.reopening import is_taken, reopen_taken
from generation_service.programs.retrying import AT_ONCE, begin_by_itself
from generation_service.programs.troubles import Thresholds, tell

_log = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_BATCH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What is to be known of a program that has not settled."""

    id: str
    deleted: bool
    at_once_due_at: datetime | None
    live: bool  # a file waits or is read
    taken: bool  # a retry has taken a file and not reopened its job yet
    passing: bool  # a file is to be tried again at once
    over: bool  # a retry has come to its end, and does not say so yet
    now: datetime

    @property
    def rests(self) -> bool:
        return not (self.live or self.taken)

    @property
    def waits(self) -> bool:
        """Whether there is nothing to do before the retry that is planned."""
        return self.at_once_due_at is not None and self.at_once_due_at > self.now


class Upkeep:
    """Looks after the programs that have not settled; where there are none, that is one sign.

    `at_once_seconds` is how long files that failed for a passing reason stay failed before they are
    tried again at once: up to twice as long, so that not all come back together.
    """

    def __init__(
        self,
        *,
        database: Database,
        jobs: Jobs,
        delivery: Delivery,
        at_once_seconds: float,
        thresholds: Thresholds,
        signs: Signs | None = None,
    ) -> None:
        self._database = database
        unsettled = select(programs.c.id).where(programs.c.settled_at.is_(None)).exists()
        self._unsettled = (signs or Signs(database)).add(unsettled)
        self._jobs = jobs
        self._delivery = delivery
        self._at_once_seconds = at_once_seconds
        self._thresholds = thresholds
        self._loop = Loop(name="programs-upkeep", turn=self.turn, pause_seconds=_PAUSE_SECONDS)

    def start(self) -> None:
        """Start on the running event loop."""
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    async def turn(self) -> None:
        """Look once at every program that has not settled."""
        if not await self._unsettled.look():
            return
        after = ""
        while found := await self._database.read(partial(_unsettled, after=after)):
            for facts in found:
                await self._look_after_surely(facts)
            after = found[-1].id

    async def _look_after_surely(self, facts: _Facts) -> None:
        try:
            await self._look_after(facts)
        except DatabaseUnavailable as error:
            # Rows of this one may be held for long, which must not keep us from all others; else this raises, too.
            await self._database.read(lambda connection: connection.execute(select(db_now())).scalar_one())
            extra = {"action": "program_upkeep_failed"}
            _log.warning("Program %s could not be looked after: %s", facts.id, error, extra=extra)
        except Exception:  # noqa: BLE001 - one program that cannot be looked after must not keep us from all others
            extra = {"action": "program_upkeep_failed"}
            _log.exception("Program %s could not be looked after", facts.id, extra=extra)

    async def _look_after(self, facts: _Facts) -> None:
        if facts.deleted:
            await self._cancel(facts.id)
            return
        taken = facts.taken
        if facts.over or (facts.rests and not facts.waits):
            taken |= await self._database.write(lambda connection: self._advance(connection, facts.id))
        if taken:
            await self._reopen(facts.id)

    async def _reopen(self, program_id: str) -> None:
        while True:
            reopened = await self._database.write(lambda connection: reopen_taken(connection, program_id, self._jobs))
            if not reopened.any:
                return
            self._delivery.deliver(reopened.jobs)
            self._jobs.wake([job.id for job in reopened.jobs])

    async def _cancel(self, program_id: str) -> None:
        cancelled = await self._database.write(
            lambda connection: deletion.cancel_live(connection, program_id, self._jobs)
        )
        self._jobs.wake([job.id for job in cancelled or ()])

    def _advance(self, connection: Connection, program_id: str) -> bool:
        """Make the one move that is due, if it still is, now that nobody else can; whether a retry has begun."""
        held = programs.c.id == program_id
        connection.execute(select(programs.c.id).where(held).with_for_update(key_share=True))
        facts = _facts(connection, held)  # in a new statement: what the one before us has committed
        if not facts or facts[0].deleted:
            return False
        (now,) = facts
        if now.over:
            self._end_retries(connection, program_id)
        if not now.rests or now.waits:
            return False
        if now.passing and now.at_once_due_at is not None:
            return begin_by_itself(connection, program_id, "at_once", AT_ONCE) is not None
        if now.passing:
            pause = random.uniform(self._at_once_seconds, 2 * self._at_once_seconds)  # noqa: S311 - spreads load
            connection.execute(update(programs).where(held).values(at_once_due_at=db_now(pause)))
        else:
            connection.execute(update(programs).where(held).values(at_once_due_at=None, settled_at=db_now()))
        return False

    def _end_retries(self, connection: Connection, program_id: str) -> None:
        ended = update(program_retries).where(program_retries.c.program_id == program_id, *_is_over())
        if connection.execute(ended.values(completed_at=db_now()).returning(program_retries.c.id)).all():
            tell(connection, program_id, self._thresholds)


def _is_over() -> Sequence[ColumnElement[bool]]:
    waiting = (program_retry_files.c.retry_id == program_retries.c.id, program_retry_files.c.outcome.is_(None))
    return program_retries.c.completed_at.is_(None), ~exists().where(*waiting)


def _unsettled(connection: Connection, after: str) -> list[_Facts]:
    return _facts(connection, programs.c.id > after)


def _facts(connection: Connection, *conditions: ColumnElement[bool]) -> list[_Facts]:
    """The facts of up to a batch of programs that have not settled, by id."""
    files = program_files.c
    of_program = files.program_id == programs.c.id
    seen = (
        select(
            programs.c.id,
            programs.c.deleted_at.is_not(None).label("deleted"),
            programs.c.at_once_due_at,
            exists().where(of_program, files.status.in_(["pending", "processing"])).label("live"),
            exists().where(is_taken(programs.c.id)).label("taken"),
            exists().where(and_(of_program, AT_ONCE)).label("passing"),
            exists().where(program_retries.c.program_id == programs.c.id, *_is_over()).label("over"),
            db_now().label("now"),
        )
        .where(programs.c.settled_at.is_(None), *conditions)
        .order_by(programs.c.id)
        .limit(_BATCH)
    )
    return [_seen(row) for row in connection.execute(seen)]


def _seen(row: Row[Any]) -> _Facts:
    return _Facts(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
