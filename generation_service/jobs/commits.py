"""What the runs of a process commit: claims, writes and endings, gathered so that one transaction serves many jobs.

Joined are jobs, never steps: a run awaits each of its commits before it goes on. Every member is
checked against its own fence. On PostgreSQL the rows of the jobs are locked first, in the order of
their ids; a row that somebody else holds makes nobody wait but its own run, which then has a
transaction to itself.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import ARRAY, Connection, String, any_, bindparam, select

from generation_service.database import Database
from generation_service.database.grouping import ALONE, Answer, Grouped
from generation_service.database.tables import jobs
from generation_service.errors import DatabaseUnavailable, Fenced
from generation_service.jobs import checkpoints, claims, settlement
from generation_service.jobs.checkpoints import Write
from generation_service.jobs.claims import Wanted
from generation_service.jobs.model import Claim, Job, JobId
from generation_service.jobs.persistence import until_available
from generation_service.jobs.ports import JobKind
from generation_service.jobs.settlement import Completed
from generation_service.jobs.transitions import find_job

Landed: TypeAlias = Callable[[Connection], int | None]
"""Looks up a run's own row after a COMMIT whose answer was lost: the number of its last event; None: not committed."""

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """A write, and how to see whether it was committed after all; `again`: once an answer was lost."""

    write: Write
    landed: Landed
    again: bool = False


# While the server is busy with one group, the process makes the next. (One writes to SQLite at a time anyway.)
_ABREAST = 2

_LOCK = (
    select(jobs.c.id)
    .where(jobs.c.id == any_(bindparam("ids", type_=ARRAY(String(36)))))
    .order_by(jobs.c.id)
    .with_for_update(key_share=True, skip_locked=True)
)

_Member: TypeAlias = Wanted | _Written | Completed


class Commits:
    """Commits for the runs of one process. A run awaits each of its commits; those of several runs have no order."""

    def __init__(self, database: Database, kinds: Mapping[str, JobKind]) -> None:
        self._database = database
        self._kinds = kinds
        abreast = _ABREAST if database.dialect == "postgresql" else 1
        self._group: Grouped[_Member, Any] = Grouped(database, self._apply, abreast=abreast)

    async def claim(self, wanted: Wanted) -> Claim | None:
        """Claim a delivered job; None where it is not to be run now, or not there. Raises DatabaseUnavailable."""
        claim: Claim | None = await self._group.add(wanted)
        return claim

    async def write(self, write: Write, landed: Landed) -> int:
        """Commit a write once, however long the database is away; return the number of its last event.

        A cancellation waits for it, since a thread commits on whether it is awaited or not. Raises Fenced.
        """
        member = _Written(write=write, landed=landed)
        try:
            number: int = await _to_its_end(self._group.add(member))
        except DatabaseUnavailable:
            again = replace(member, again=True)
            number = await _to_its_end(asyncio.create_task(until_available(lambda: self._group.add(again))))
            if (task := asyncio.current_task()) is not None and task.cancelling():
                # The cancellation came while the first try was under way, whose error took its place.
                raise asyncio.CancelledError from None
        return number

    async def complete(self, completed: Completed) -> Job:
        """End a run that has committed all its steps, however long the database is away. Raises Fenced."""
        job: Job
        try:
            job = await self._group.add(completed)
        except DatabaseUnavailable:
            try:
                job = await until_available(lambda: self._group.add(completed))
            except Fenced:  # by its own ending, where that was committed and only its answer was lost
                job = await self._ended(completed.claim)
        return job

    async def _ended(self, claim: Claim) -> Job:
        """The job, where this claim has completed it. Raises Fenced."""
        job = await until_available(lambda: self._database.read(partial(find_job, job_id=claim.id)))
        if job is None or (job.status, job.fence) != ("completed", claim.fence):
            raise Fenced(claim.id, claim.fence)
        return job

    def _apply(self, connection: Connection, members: Sequence[_Member]) -> Sequence[Answer[Any]]:
        alone = len(members) == 1
        if alone and isinstance(members[0], _Written) and members[0].again:
            number = members[0].landed(connection)
            if number is not None:
                return [number]
        joined = members if alone else self._joined(connection, members)
        answers: dict[int, Answer[Any]] = {}
        if wanted := [one for one in joined if isinstance(one, Wanted)]:
            answers |= _answers(wanted, claims.claim_all(connection, wanted, self._kinds))
        if written := [one for one in joined if isinstance(one, _Written)]:
            answers |= _answers(written, checkpoints.write_all(connection, [one.write for one in written]))
        # Last, for endings are counted, and counters are the last that a transaction locks.
        if completed := [one for one in joined if isinstance(one, Completed)]:
            answers |= _answers(completed, settlement.complete_all(connection, completed, self._kinds))
        return [answers.get(id(one), ALONE) for one in members]

    def _joined(self, connection: Connection, members: Sequence[_Member]) -> list[_Member]:
        """Those that can be committed together: one of each job, none that takes long or may have to wait."""
        by_job: dict[JobId, _Member] = {}
        for one in members:
            if self._may_join(one):
                by_job.setdefault(_job_id(one), one)
        if connection.dialect.name == "postgresql":
            free = set(connection.execute(_LOCK, {"ids": list(by_job)}).scalars())
            return [one for job_id, one in by_job.items() if job_id in free]
        return list(by_job.values())

    def _may_join(self, member: _Member) -> bool:
        match member:
            case _Written():
                return not (member.again or member.write.has_effects)
            case Completed():
                return self._kinds[member.claim.job.kind].shares_commits
            case Wanted():
                return True


def _answers(members: Sequence[_Member], answers: Sequence[Answer[Any]]) -> dict[int, Answer[Any]]:
    return dict(zip(map(id, members), answers, strict=True))


def _job_id(member: _Member) -> JobId:
    match member:
        case Wanted():
            return member.job_id
        case _Written():
            return member.write.claim.id
        case Completed():
            return member.claim.id


async def _to_its_end(commit: "asyncio.Future[R]") -> R:
    try:
        return await asyncio.shield(commit)
    except asyncio.CancelledError:
        await asyncio.wait({commit})
        if not commit.cancelled():
            commit.result()  # raises Fenced: then nothing was committed
        raise
