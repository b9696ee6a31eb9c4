"""Status sync: RQ's view and the database are brought together; where they differ, the database is right."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Literal

from sqlalchemy import Connection, select

from generation_service.database import Database, db_now
from generation_service.database.tables import jobs
from generation_service.jobs import redelivery, rerouting
from generation_service.jobs.model import JobId
from generation_service.jobs.redelivery import START, Cursor
from generation_service.switching.migration import RedisState
from generation_service.switching.ports import (
    ALL_PLACES,
    TRACE_PLACES,
    WAITING_PLACES,
    Place,
    RqRefused,
    RqView,
)
from generation_service.switching.sweep import FOREIGN, STALE, Judged, Sweep, chunks

_log = logging.getLogger(__name__)

Difference = Literal[
    "finished_in_rq_but_pending",
    "failed_in_rq_but_pending",
    "lost_in_rq",
    "running_but_gone_from_rq",
    "failed_in_rq_but_running",
    "failed_in_rq_but_completed",
    "ended_but_queued",
    "stale_delivery",
    "abandoned_in_rq",
    "unknown_in_rq",
    "foreign_and_running",
]

DONE: Mapping[Difference, str] = {
    "finished_in_rq_but_pending": "delivered_again",
    "failed_in_rq_but_pending": "delivered_again",
    "lost_in_rq": "delivered_again",
    "running_but_gone_from_rq": "left_to_its_lease",
    "failed_in_rq_but_running": "trace_removed",
    "failed_in_rq_but_completed": "trace_removed",
    "ended_but_queued": "forgotten",
    "stale_delivery": "forgotten",
    "abandoned_in_rq": "trace_removed",
    "unknown_in_rq": "dead_letter",
    "foreign_and_running": "left_to_its_worker",
}
"""What is done about each difference. `delivered_again`: recovery does so in its next turn."""

_DELIVERED_OVER_SECONDS = 1.0  # so old is a delivery before it is missed
_PAGE = 2_000
_CHANGED_AT_ONCE = 200


@dataclass(kw_only=True)
class SyncReport:
    """How many entries and jobs were looked at, and how many differed, by how; the rest as in a migration's result."""

    dry_run: bool
    examined: int = 0
    found: Counter[Difference] = field(default_factory=Counter)
    dead_lettered: int = 0
    redis: RedisState = "ok"
    unreadable: set[str] = field(default_factory=set)
    duration_seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The report as the API and the scripts show it."""
        differences = [
            {"difference": one, "count": self.found[one], "done": DONE[one]} for one in DONE if self.found[one]
        ]
        return {
            "differed": sum(self.found.values()),
            "differences": differences,
            "examined": self.examined,
            "dead_lettered": self.dead_lettered,
            "redis": self.redis,
            "unreadable": sorted(self.unreadable),
            "dry_run": self.dry_run,
            "duration_seconds": round(self.duration_seconds, 3),
        }


class StatusSync:
    """Looks at every entry of RQ and every job that RQ should have; any process may do so, and any number at once."""

    def __init__(self, *, database: Database, view: RqView) -> None:
        self._database = database
        self._view = view
        self._sweep = Sweep(database=database, view=view)

    async def run(self, *, dry_run: bool) -> SyncReport:
        """Compare, and put right what differs unless it is a `dry_run`; twice is once. Raises DatabaseUnavailable."""
        began = time.monotonic()
        report = SyncReport(dry_run=dry_run)
        try:
            async for found, unreadable in self._sweep.judged(ALL_PLACES):
                report.unreadable |= set(unreadable)
                await self._settle(found, report)
            report.dead_lettered += await self._sweep.keep_letters(dry_run=dry_run)
            await self._look_for_lost(report)
            await self._look_for_gone(report)
        except RqRefused:
            report.redis = "refused"
        except ConnectionError:
            report.redis = "unreachable"
        report.duration_seconds = time.monotonic() - began
        extra = {"action": "statuses_synced", **report.as_json()}
        _log.info("RQ's view was compared with the database; %d differed", report.found.total(), extra=extra)
        return report

    async def _settle(self, found: Sequence[Judged], report: SyncReport) -> None:
        report.examined += len(found)
        differing = [(one, name) for one in found if (name := _difference(one))]
        report.found.update(name for _, name in differing)
        by_action = {
            action: [one for one, name in differing if DONE[name] == action]
            for action in ("delivered_again", "trace_removed", "forgotten", "dead_letter")
        }
        report.dead_lettered += await self._sweep.keep(by_action["dead_letter"], dry_run=report.dry_run)
        if not report.dry_run:
            again = [(one.entry.job_id, one.job.delivery) for one in by_action["delivered_again"] if one.job]
            await self._deliver_again([(job_id, number) for job_id, number in again if job_id])
            await self._sweep.set_aside(by_action["dead_letter"])
            await self._sweep.forget(by_action["trace_removed"] + by_action["forgotten"])

    async def _deliver_again(self, seen: Sequence[tuple[JobId, int]]) -> None:
        for some in chunks(seen, _CHANGED_AT_ONCE):
            await self._database.write(partial(rerouting.mark_undelivered, seen=some))

    async def _look_for_lost(self, report: SyncReport) -> None:
        """What was delivered a while ago and is nowhere: SQL, Redis, and SQL with the compare-and-set."""
        before, after = await self._database.read(a_while_ago), START
        while page := await self._database.read(partial(find_delivered, before=before, after=after, limit=_PAGE)):
            report.examined += len(page)
            lost = await asyncio.to_thread(self._view.absent, [one.rq_id for one in page])
            missing = [(one.job_id, one.delivery) for one in page if one.rq_id in lost]
            report.found["lost_in_rq"] += len(missing)
            if not report.dry_run:
                await self._deliver_again(missing)
            after = page[-1].cursor

    async def _look_for_gone(self, report: SyncReport) -> None:
        """What runs in RQ by the database, before and after a look at what runs by RQ."""
        before = await self._database.read(_find_running)
        places: frozenset[Place] = frozenset({"started", "intermediate"})
        there = {entry.job_id async for page in self._sweep.pages(places, by_id=True) for entry in page.entries}
        after = await self._database.read(_find_running)
        report.found["running_but_gone_from_rq"] += sum(job_id not in there for job_id, _ in before & after)


def _difference(judged: Judged) -> Difference | None:
    place, verdict, job = judged.entry.place, judged.verdict, judged.job
    if verdict in FOREIGN:
        return "foreign_and_running" if place == "started" else "unknown_in_rq"
    if verdict == "tick" or job is None:
        return None
    if place in TRACE_PLACES:
        return _difference_of_trace(judged)
    if place in WAITING_PLACES and verdict in STALE:
        return "ended_but_queued" if verdict == "ended" else "stale_delivery"
    return "abandoned_in_rq" if place == "abandoned" and verdict in STALE else None


def _difference_of_trace(judged: Judged) -> Difference | None:
    job, failed = judged.job, judged.entry.place == "failed"
    if job is None:
        return None
    if failed and judged.verdict == "ended":
        return "failed_in_rq_but_completed" if job.status == "completed" else None
    if judged.verdict != "current":
        return None
    if job.status == "running":
        return "failed_in_rq_but_running" if failed else None
    if not job.delivered:
        return None  # it has returned to waiting since
    return "failed_in_rq_but_pending" if failed else "finished_in_rq_but_pending"


@dataclass(frozen=True, slots=True)
class Delivered:
    """A job of RQ that waits, as it was delivered last; `cursor` is where it stands among what waits."""

    job_id: JobId
    delivery: int
    cursor: Cursor

    @property
    def rq_id(self) -> str:
        """The id of the delivery in RQ."""
        return f"{self.job_id}-{self.delivery}"


def a_while_ago(connection: Connection) -> datetime:
    """The time before which a delivery is old enough to be missed. One for all pages: what comes in adds none."""
    return connection.execute(select(db_now(-_DELIVERED_OVER_SECONDS))).scalar_one()


def find_delivered(connection: Connection, before: datetime, after: Cursor, limit: int) -> list[Delivered]:
    """Jobs of RQ that wait and were delivered before that time, behind `after`."""
    rows = redelivery.find_delivered(connection, before, after=after, limit=limit)
    return [Delivered(JobId(row.id), row.delivery, (row.priority, row.id)) for row in rows]


def _find_running(connection: Connection) -> set[tuple[JobId, int]]:
    rows = connection.execute(select(jobs.c.id, jobs.c.fence).where(jobs.c.status == "running", jobs.c.backend == "rq"))
    return {(JobId(row.id), row.fence) for row in rows}
