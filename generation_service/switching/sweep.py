"""The sweep: each entry of RQ is held against the database and judged, and what does not belong there is put right.

The database is read after Redis, so that what it says is never older than the entry. Each change is one
step that is complete in itself: to sweep twice is to sweep once, whoever died in between.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

from sqlalchemy import Connection, Select, String, select

from generation_service.database import Database
from generation_service.database.among import among
from generation_service.database.rowsets import ROWS, Columns, built_once, rowset
from generation_service.database.tables import dead_letters, jobs, pruned_jobs
from generation_service.jobs.dead_letters import fingerprint_of, keep_foreign
from generation_service.jobs.model import ENDED, Backend, JobId, Status
from generation_service.switching.ports import Entry, Letter, Page, Place, RqView

T = TypeVar("T")

Verdict = Literal["current", "tick", "outdated", "moved", "ended", "unknown", "foreign"]
"""What an entry is: its job's last delivery; a tick of the schedules; an earlier delivery; of a job that is in the
other backend; of one that has ended (or was pruned); of one that the database does not know; not ours at all."""

STALE: frozenset[Verdict] = frozenset({"outdated", "moved", "ended"})
"""A claim would refuse it: the entry can be forgotten."""

FOREIGN: frozenset[Verdict] = frozenset({"unknown", "foreign"})
"""It needs a person."""

_LOOKED_UP_AT_ONCE = 2_500
_KEPT_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the database says of a job that an entry names; of a pruned one, that it has ended."""

    status: Status
    backend: Backend
    delivery: int
    delivered: bool
    fence: int


@dataclass(frozen=True, slots=True)
class Judged:
    """An entry, what it is, and what the database says of its job."""

    entry: Entry
    verdict: Verdict
    job: Known | None


class Sighting(NamedTuple):
    """The entries of a page, and the keys that hold what RQ would never put there."""

    entries: Sequence[Judged]
    unreadable: Sequence[str]


class Sweep:
    """Reads RQ page by page. Its calls raise what `RqView` raises, and DatabaseUnavailable."""

    def __init__(self, *, database: Database, view: RqView) -> None:
        self._database = database
        self._view = view

    async def judged(self, places: Collection[Place], *, by_id: bool = False) -> AsyncIterator[Sighting]:
        """Every entry in these places with its verdict, page by page; entries may be removed on the way."""
        async for page in self.pages(places, by_id=by_id):
            yield Sighting(await self.judge(page.entries), page.unreadable)

    async def pages(self, places: Collection[Place], *, by_id: bool = False) -> AsyncIterator[Page]:
        """The pages themselves; see `RqView`."""
        pages = self._view.pages(places, by_id=by_id)
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            yield page

    async def judge(self, entries: Sequence[Entry]) -> list[Judged]:
        """What each of these is."""
        known: dict[JobId, Known] = {}
        for ids in chunks(sorted({one.job_id for one in entries if one.job_id}), _LOOKED_UP_AT_ONCE):
            known |= await self._database.read(partial(look_up, job_ids=ids))
        return [_judge(one, known.get(one.job_id) if one.job_id else None) for one in entries]

    async def forget(self, found: Sequence[Judged]) -> int:
        """Take these out of RQ; how many were still there."""
        return await asyncio.to_thread(self._view.take_out, [one.entry for one in found]) if found else 0

    async def keep(self, found: Sequence[Judged], *, dry_run: bool) -> int:
        """Make dead letters of these, which is to come before they are set aside; how many were not kept before."""
        return await self._keep([_as_letter(one.entry) for one in found], dry_run=dry_run)

    async def set_aside(self, found: Sequence[Judged]) -> None:
        """Take these out of RQ to where a person looks for them."""
        if found:
            await asyncio.to_thread(self._view.set_aside, [one.entry for one in found])

    async def keep_letters(self, *, dry_run: bool) -> int:
        """Make dead letters of what was set aside already, by whomever; how many were not kept before."""
        pages, kept = self._view.letters(), 0
        while (found := await asyncio.to_thread(next, pages, None)) is not None:
            kept += await self._keep(found, dry_run=dry_run)
        return kept

    async def _keep(self, found: Iterable[Letter], *, dry_run: bool) -> int:
        kept = 0
        for letters in chunks(list(dict.fromkeys(found)), _KEPT_AT_ONCE):
            if dry_run:
                kept += await self._database.read(partial(_count_unkept, letters=letters))
            else:
                kept += await self._database.write(partial(_keep_all, letters=letters))
        return kept


def chunks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """The items in order, `size` at a time."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def look_up(connection: Connection, job_ids: Sequence[JobId]) -> dict[JobId, Known]:
    """What the database knows of these jobs."""
    rows = connection.execute(_known_statement(connection), {ROWS: [{"id": one} for one in job_ids]})
    found = {
        job_id: Known(status=status, backend=backend, delivery=delivery, delivered=delivered, fence=fence)
        for job_id, status, backend, delivery, delivered, fence in rows
    }
    missing = [{"id": one} for one in job_ids if one not in found]
    gone = connection.execute(_pruned_statement(connection), {ROWS: missing}) if missing else ()
    pruned = Known(status="completed", backend="rq", delivery=0, delivered=True, fence=0)
    return found | {JobId(row.job_id): pruned for row in gone}


def _build_known(dialect: str) -> Select[Any]:
    delivered = jobs.c.delivered_at.is_not(None)
    columns = (jobs.c.id, jobs.c.status, jobs.c.backend, jobs.c.delivery, delivered, jobs.c.fence)
    return select(*columns).where(among(dialect, jobs.c.id, select(rowset(dialect, _WANTED).c.id)))


def _build_pruned(dialect: str) -> Select[Any]:
    return select(pruned_jobs.c.job_id).where(
        among(dialect, pruned_jobs.c.job_id, select(rowset(dialect, _WANTED).c.id))
    )


_WANTED: Columns = {"id": String(36)}
_known_statement, _pruned_statement = built_once(_build_known), built_once(_build_pruned)


def _judge(entry: Entry, job: Known | None) -> Judged:
    if entry.reason is not None:
        return Judged(entry, "foreign", None)
    if entry.job_id is None:
        return Judged(entry, "tick", None)
    if job is None:
        return Judged(entry, "unknown", None)
    if job.status in ENDED:
        return Judged(entry, "ended", job)
    if job.backend != "rq":
        return Judged(entry, "moved", job)
    return Judged(entry, "current" if entry.delivery == job.delivery else "outdated", job)


def _as_letter(entry: Entry) -> Letter:
    reason = entry.reason or "unknown_job"
    return Letter(origin=entry.queue, reason=reason, detail=entry.rq_id, raw=entry.raw)


def _keep_all(connection: Connection, letters: Sequence[Letter]) -> int:
    return sum(
        keep_foreign(connection, origin=one.origin, reason=one.reason, detail=one.detail, raw=one.raw)
        for one in letters
    )


def _count_unkept(connection: Connection, letters: Sequence[Letter]) -> int:
    wanted = {fingerprint_of(one.origin, one.detail, one.raw) for one in letters}
    there = select(dead_letters.c.fingerprint).where(dead_letters.c.fingerprint.in_(wanted))
    return len(wanted) - len(connection.execute(there).all())


def by_verdict(found: Iterable[Judged], verdicts: Collection[Verdict]) -> list[Judged]:
    """Those that are one of these."""
    return [one for one in found if one.verdict in verdicts]
