"""Programs as callers know them: taken in, shown, retried, deleted."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, select

from generation_service.database import Database, db_now
from generation_service.database.programs import program_files, program_retries, programs
from generation_service.errors import Refused
from generation_service.jobs.ids import is_id
from generation_service.jobs.model import Job
from generation_service.jobs.queries import Page
from generation_service.jobs.service import Jobs
from generation_service.objects import ObjectStore
from generation_service.programs import deletion
from generation_service.programs.files import FILE_COLUMNS, file_of
from generation_service.programs.history import find_retries, stats_of
from generation_service.programs.intake import Intake
from generation_service.programs.model import (
    FileStatus,
    Program,
    ProgramFile,
    ProgramState,
    Retry,
    RetryStats,
    RetryType,
)
from generation_service.programs.outlook import next_retries
from generation_service.programs.reopening import Reopened, reopen_taken
from generation_service.programs.retrying import begin_by_hand
from generation_service.programs.scheduled import RetryRules
from generation_service.programs.summaries import PROGRAM_COLUMNS, program_of, states, visible_to
from generation_service.settings import Settings

_MOST_HELD = 20
_HELD_SECONDS = 0.05


class Programs:
    """Programs of users; another user's, and one that was deleted, is `program_not_found` (404) everywhere.

    The user None is whoever asks, where the service asks for no tokens and no user was named.
    """

    def __init__(self, database: Database, objects: ObjectStore, jobs: Jobs, settings: Settings) -> None:
        self._database = database
        self._objects = objects
        self._jobs = jobs
        self._settings = settings
        self._rules = RetryRules.of(settings)

    def intake(self) -> Intake:
        """A context in which the files of a new program are added, and then accepted."""
        return Intake(self._database, self._objects, self._jobs.admission, self._settings)

    async def now(self) -> datetime:
        """The database's clock: when a retry was asked for."""
        return await self._database.read(lambda connection: connection.execute(select(db_now())).scalar_one())

    async def get(self, program_id: str, user_id: str | None) -> ProgramState:
        """The program as it stands now."""

        def unit(connection: Connection) -> ProgramState:
            return self._states(connection, [_find(connection, program_id, user_id)])[0]

        return await self._database.read(unit)

    async def list(self, user_id: str | None, limit: int, cursor: str | None = None) -> Page[ProgramState]:
        """A page of the user's programs, the newest first. Raises Refused `invalid_cursor` (422)."""
        if cursor is not None and not is_id(cursor):
            raise Refused("invalid_cursor", 422)
        wanted = select(*PROGRAM_COLUMNS).where(visible_to(user_id))
        if cursor is not None:
            wanted = wanted.where(programs.c.id < cursor)

        def unit(connection: Connection) -> Page[ProgramState]:
            rows = connection.execute(wanted.order_by(programs.c.id.desc()).limit(limit + 1)).all()
            shown = [program_of(row) for row in rows[:limit]]
            following = shown[-1].id if len(rows) > limit else None
            return Page(items=[*self._states(connection, shown)], next_cursor=following)

        return await self._database.read(unit)

    async def files(
        self,
        program_id: str,
        user_id: str | None,
        status: FileStatus | None = None,
        limit: int = 500,
        cursor: str | None = None,
    ) -> Page[ProgramFile]:
        """A page of the program's files in their order. Raises Refused `invalid_cursor` (422)."""
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= len("9999999")):
            raise Refused("invalid_cursor", 422)
        conditions = [] if status is None else [program_files.c.status == status]
        if cursor is not None:
            conditions.append(program_files.c.position > int(cursor))
        found = await self._files(program_id, user_id, conditions, limit + 1)
        following = str(found[limit - 1].position) if len(found) > limit else None
        return Page(items=[*found[:limit]], next_cursor=following)

    async def failures(self, program_id: str, user_id: str | None) -> Sequence[ProgramFile]:
        """Every file of the program that has failed, in their order."""
        return await self._files(program_id, user_id, [program_files.c.status == "failed"], None)

    async def retry(
        self, program_id: str, user_id: str | None, retry_type: RetryType, *, asked_at: datetime
    ) -> tuple[Retry, Sequence[Job]]:
        """Retry the files that had failed at `asked_at` (by `now`), and name those that are under retry already.

        The caller delivers the jobs. One who is cut off in between leaves them to the upkeep.
        """

        def begin(connection: Connection) -> str:
            _find(connection, program_id, user_id)
            retry_id = begin_by_hand(connection, program_id, retry_type, asked_at)
            if retry_id is None:
                raise Refused("program_not_found", 404)
            return retry_id

        retry_id = await self._database.write(begin)
        jobs = await self._reopen(program_id)
        return await self.get_retry(program_id, retry_id, user_id), jobs

    async def retries(self, program_id: str, user_id: str | None) -> Sequence[Retry]:
        """Every retry of the program, by whomever, the oldest first."""
        return await self._retries(program_id, user_id)

    async def get_retry(self, program_id: str, retry_id: str, user_id: str | None) -> Retry:
        """One retry. Raises Refused `retry_not_found` (404)."""
        found = await self._retries(program_id, user_id, program_retries.c.id == retry_id)
        if not found:
            raise Refused("retry_not_found", 404)
        return found[0]

    async def stats(self, user_id: str | None) -> RetryStats:
        """How the retries of this user's files ended."""
        return await self._database.read(lambda connection: stats_of(connection, user_id))

    async def delete(self, program_id: str, user_id: str | None) -> Sequence[Job]:
        """Delete the program softly; the jobs that this has cancelled. Documents that are read stay.

        What others hold just now is tried again for a moment, and then left to the upkeep.
        """
        if not is_id(program_id) or not await self._database.write(
            lambda connection: deletion.hide(connection, program_id, user_id)
        ):
            raise Refused("program_not_found", 404)
        cancelled: list[Job] = []
        held = 0
        while held < _MOST_HELD:
            batch = await self._database.write(
                lambda connection: deletion.cancel_live(connection, program_id, self._jobs)
            )
            if batch is None:
                break
            cancelled += batch
            if not batch:
                held += 1
                await asyncio.sleep(_HELD_SECONDS)
        self._jobs.wake([job.id for job in cancelled])
        return cancelled

    async def _reopen(self, program_id: str) -> Sequence[Job]:
        def unit(connection: Connection) -> Reopened:
            return reopen_taken(connection, program_id, self._jobs)

        jobs: list[Job] = []
        while (reopened := await self._database.write(unit)).any:
            jobs += reopened.jobs
        self._jobs.wake([job.id for job in jobs])
        return jobs

    def _states(self, connection: Connection, shown: Sequence[Program]) -> Sequence[ProgramState]:
        ids = [program.id for program in shown]
        return states(connection, shown, next_retries(connection, ids, self._rules))

    async def _files(
        self, program_id: str, user_id: str | None, conditions: Sequence[ColumnElement[bool]], limit: int | None
    ) -> Sequence[ProgramFile]:
        wanted = select(*FILE_COLUMNS).where(program_files.c.program_id == program_id, *conditions)
        ordered = wanted.order_by(program_files.c.position).limit(limit)

        def unit(connection: Connection) -> Sequence[ProgramFile]:
            _find(connection, program_id, user_id)
            return [file_of(row) for row in connection.execute(ordered)]

        return await self._database.read(unit)

    async def _retries(self, program_id: str, user_id: str | None, *conditions: ColumnElement[bool]) -> Sequence[Retry]:
        def unit(connection: Connection) -> Sequence[Retry]:
            _find(connection, program_id, user_id)
            return find_retries(connection, program_retries.c.program_id == program_id, *conditions)

        return await self._database.read(unit)


def _find(connection: Connection, program_id: str, user_id: str | None) -> Program:
    """The program. Raises Refused `program_not_found` (404)."""
    mine = (programs.c.id == program_id, visible_to(user_id))
    row = connection.execute(select(*PROGRAM_COLUMNS).where(*mine)).one_or_none() if is_id(program_id) else None
    if row is None:
        raise Refused("program_not_found", 404)
    return program_of(row)
