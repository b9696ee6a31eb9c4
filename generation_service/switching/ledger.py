"""The ledger: what was accepted is live or has ended, once, and RQ holds nothing else; what does not add up is named.

What is wrong is looked at twice, a moment apart, and reported only where it was the same both times, so
that a busy system shows nothing that was only on its way. Where the first look finds nothing wrong, there
is nothing that a second one could confirm.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs import ledger
from generation_service.jobs.ledger import Counts
from generation_service.jobs.leisure import Leisure
from generation_service.jobs.redelivery import START
from generation_service.switching.migration import RedisState
from generation_service.switching.ports import ALL_PLACES, RUNNING_PLACES, WAITING_PLACES, RqRefused, RqView
from generation_service.switching.sweep import FOREIGN, STALE, Judged, Sweep, chunks
from generation_service.switching.sync import a_while_ago, find_delivered

_BETWEEN_LOOKS_SECONDS = 0.4
_PAGE = 5_000
_NAMED = 20  # so many of each finding are named

_PLACES = WAITING_PLACES | RUNNING_PLACES
_STATUSES = ("pending", "running", "completed", "failed", "cancelled")

Finding = tuple[str, ...]
"""What was found, and enough to tell whether it is the same the next time."""

Rest = Callable[[], Awaitable[None]]
"""What is done between one page and the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One look: the counts, and each finding once."""

    counts: Counts
    held_by_the_dead: int
    surplus: Mapping[str, int]
    ended_twice: frozenset[Finding]
    lost: frozenset[Finding] = frozenset()
    doubled: frozenset[Finding] = frozenset()
    unknown: frozenset[Finding] = frozenset()
    stale: int = 0
    in_rq: Mapping[str, int] = field(default_factory=dict)
    redis: RedisState = "ok"

    @property
    def spotless(self) -> bool:
        """Whether there is nothing to look at again."""
        counted = self.counts.lost + self.counts.duplicated + self.counts.unexplained
        found = self.surplus or self.ended_twice or self.lost or self.doubled or self.unknown
        return not (counted or found or self.stale or self.held_by_the_dead)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReport:
    """The counts of one instant, and what is wrong with them; `findings` names some of what was counted."""

    counts: Counts
    lost: int
    duplicated: int
    unexplained: int
    stale: int
    held_by_the_dead: int
    in_rq: Mapping[str, int]
    redis: RedisState
    findings: Mapping[str, Sequence[str]]
    duration_seconds: float

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, done twice, or cannot be explained."""
        return not (self.lost or self.duplicated or self.unexplained)

    def as_json(self) -> dict[str, Any]:
        """The report as the API and the commands show it."""
        counts = self.counts
        return {
            "clean": self.clean,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "unexplained": self.unexplained,
            "accepted": counts.accepted,
            "reopened": counts.reopened,
            "ended": counts.ended,
            "pruned": counts.pruned,
            **{status: counts.of_status(status) for status in _STATUSES},
            "by_backend": {
                backend: {status: counts.rows.get(backend, {}).get(status, 0) for status in _STATUSES}
                for backend in ("rq", "background_tasks")
            },
            "rq": {"redis": self.redis, "stale": self.stale, **self.in_rq},
            "held_by_the_dead": self.held_by_the_dead,
            "findings": {name: list(found) for name, found in self.findings.items()},
            "duration_seconds": round(self.duration_seconds, 3),
        }


class Ledger:
    """Counts on demand, in any process."""

    def __init__(
        self, *, database: Database, view: RqView, between_looks_seconds: float = _BETWEEN_LOOKS_SECONDS
    ) -> None:
        self._database = database
        self._view = view
        self._sweep = Sweep(database=database, view=view)
        self._between_looks_seconds = between_looks_seconds
        self._last: tuple[float, LedgerReport] | None = None  # monotonic: when it began to count
        self._first = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None

    async def check(self, *, lately: bool = False, at_leisure: bool = False) -> LedgerReport:
        """Look, and report what is still wrong a moment later. Raises DatabaseUnavailable; Redis may be away.

        `lately`: of episodes only the last ones of each project that has got some lately. `at_leisure`: nobody waits.
        """
        began = time.monotonic()
        rest = Leisure().rest if at_leisure else _go_on
        look = partial(self._look, rest, lately=lately)
        first = second = await look()
        if not first.spotless:
            await asyncio.sleep(self._between_looks_seconds)
            second = await look()
        report = _compared(first, second, began)
        if self._last is None or self._last[0] < began:  # one that rests may end after one that began later
            self._last = (began, report)
        return report

    async def recent(self, seconds: float) -> LedgerReport:
        """The last report; one that is older than that is renewed behind the caller's back, who never waits for Redis.

        Only the first caller waits. Raises DatabaseUnavailable.
        """
        async with self._first:
            if self._last is None:
                return await self.check(lately=True)
        began, report = self._last
        if time.monotonic() - began > seconds and (self._renewal is None or self._renewal.done()):
            self._renewal = asyncio.create_task(self._renew(), name="ledger")
        return report

    async def close(self) -> None:
        """Give up a renewal that is under way: it only reads."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)

    async def _renew(self) -> None:
        with suppress(DatabaseUnavailable):  # whoever asks next renews it
            await self.check(lately=True, at_leisure=True)

    async def _look(self, rest: Rest, *, lately: bool) -> _Look:
        look = await self._database.read(partial(_in_the_database, lately=lately))
        try:
            return await self._with_rq(look, rest)
        except RqRefused:
            return replace(look, redis="refused")
        except ConnectionError:
            return replace(look, redis="unreachable")

    async def _with_rq(self, look: _Look, rest: Rest) -> _Look:
        lost = frozenset([("delivery", one) async for one in self._lost(rest)])
        unknown: set[Finding] = set()
        seen: Counter[str] = Counter()
        in_rq: Counter[str] = Counter()
        stale = 0
        async for found, unreadable in self._sweep.judged(ALL_PLACES, by_id=True):
            unknown |= {("key", key) for key in unreadable}
            unknown |= {("entry", one.entry.place, one.entry.rq_id) for one in found if one.verdict in FOREIGN}
            stale += sum(_is_stale(one) for one in found)
            seen.update(one.entry.rq_id for one in found if one.entry.place in _PLACES and one.verdict not in FOREIGN)
            in_rq.update(one.entry.place for one in found)
            await rest()
        doubled = await self._doubled([rq_id for rq_id, times in seen.items() if times > 1])
        return replace(look, lost=lost, doubled=doubled, unknown=frozenset(unknown), stale=stale, in_rq=dict(in_rq))

    async def _lost(self, rest: Rest) -> AsyncIterator[str]:
        """What was delivered a while ago and is nowhere: SQL, Redis, SQL."""
        before, after = await self._database.read(a_while_ago), START
        find = partial(find_delivered, before=before)
        while page := await self._database.read(partial(find, after=after, limit=_PAGE)):
            absent = await asyncio.to_thread(self._view.absent, [one.rq_id for one in page])
            missing = [one for one in page if one.rq_id in absent]
            if missing:
                still = await self._database.read(partial(find, after=after, limit=2 * _PAGE))
                for one in set(missing) & set(still):
                    yield one.rq_id
            after = page[-1].cursor
            await rest()

    async def _doubled(self, suspects: Sequence[str]) -> frozenset[Finding]:
        """Those that really lie in two places, or twice in one, at one instant."""
        found: set[Finding] = set()
        for some in chunks(suspects, _PAGE):
            places = await asyncio.to_thread(self._view.occurrences, list(some))
            found |= {("delivery", one, *sorted(there)) for one, there in places.items() if len(there) > 1}
        return frozenset(found)


async def _go_on() -> None:
    """Somebody waits: no rest."""


def _in_the_database(connection: Connection, *, lately: bool) -> _Look:
    return _Look(
        counts=ledger.count(connection),
        held_by_the_dead=ledger.held_by_the_dead(connection),
        surplus=(ledger.miscounted_lately if lately else ledger.miscounted_projects)(connection),
        ended_twice=frozenset(("job", one) for one in ledger.ended_twice(connection)),
    )


def _is_stale(one: Judged) -> bool:
    return one.verdict in STALE and one.entry.place in WAITING_PLACES


def _compared(first: _Look, second: _Look, began: float) -> LedgerReport:
    """What is wrong in both looks; numbers that differ count with the smaller one."""
    projects = {one for one in first.surplus.keys() & second.surplus if first.surplus[one] == second.surplus[one]}
    too_many = sum(max(0, second.surplus[one]) for one in projects)
    too_few = sum(max(0, -second.surplus[one]) for one in projects)
    misnumbered = sum(second.surplus[one] == 0 for one in projects)
    lost, doubled = first.lost & second.lost, first.doubled & second.doubled
    twice, unknown = first.ended_twice & second.ended_twice, first.unknown & second.unknown
    extra_endings = min(first.counts.duplicated, second.counts.duplicated)
    return LedgerReport(
        counts=second.counts,
        lost=min(first.counts.lost, second.counts.lost) + len(lost) + too_few,
        duplicated=max(extra_endings, len(twice)) + len(doubled) + too_many,
        unexplained=min(first.counts.unexplained, second.counts.unexplained) + len(unknown) + misnumbered,
        stale=min(first.stale, second.stale),
        held_by_the_dead=min(first.held_by_the_dead, second.held_by_the_dead),
        in_rq=second.in_rq,
        redis=second.redis,
        findings={
            "lost": _named(lost),
            "duplicated": _named(doubled | twice),
            "unexplained": _named(unknown),
            "projects": sorted(projects)[:_NAMED],
        },
        duration_seconds=time.monotonic() - began,
    )


def _named(found: frozenset[Finding]) -> list[str]:
    return [" ".join(one) for one in sorted(found)[:_NAMED]]
