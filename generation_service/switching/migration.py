"""Migration: what waits at one backend, and if asked what runs there, goes to the other; then RQ is tidied up.

One migration at a time, under a lease that is renewed with each batch. The jobs move in the
database, by compare-and-set; Redis comes second and may be dead. Where the mode wants the same,
the wish is written into it first, so that recovery finishes what a killed migration has left.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal
from uuid import uuid4

from sqlalchemy import Connection, func, select, update

from generation_service.database import Database, db_now
from generation_service.database.operations import worker_mode
from generation_service.database.tables import jobs
from generation_service.errors import DatabaseUnavailable, Refused
from generation_service.jobs import rerouting
from generation_service.jobs.leadership import Tenure
from generation_service.jobs.model import LIVE, Backend, JobId
from generation_service.jobs.moving import MIGRATION_LEASE, Mover
from generation_service.jobs.rerouting import Movable, Placed
from generation_service.jobs.routing import Carry, Mode, Rollout, current_mode
from generation_service.switching.ports import WAITING_PLACES, RqRefused, RqView
from generation_service.switching.sweep import FOREIGN, STALE, Sweep, by_verdict

_log = logging.getLogger(__name__)

_LEASE_SECONDS = 5.0
_ASK_AGAIN_SECONDS = 0.1
_MOST_ROUNDS = 20
_MOST_IDLE_ROUNDS = 3  # whoever holds the rows that are left may be frozen: recovery comes back to them
_IDLE_PAUSE_SECONDS = 0.3
_CARRIES: tuple[Carry, ...] = ("nothing", "waiting", "running")  # each takes along what those before it do

RedisState = Literal["ok", "unreachable", "refused"]
"""Whether RQ could be tidied up; `refused`: Redis answers, and does not do what it is asked."""


@dataclass(kw_only=True)
class MigrationResult:
    """What a migration has moved, or would move.

    `migrated` is the sum of `waiting`, `scheduled` (which wait until they are due) and `running`. `skipped` stays
    at the source on purpose (what the rollout does not cover, what tries a backend, and what runs unless that was
    included); `failed` could not be moved now, and `remaining` is what should not be at the source any more.
    `forgotten` counts deliveries that were taken out of RQ, `dead_lettered` entries that nobody knows; `unreadable`
    names the keys of ours that hold what RQ would never put there.
    """

    source: Backend
    target: Backend
    dry_run: bool
    migrated: int = 0
    waiting: int = 0
    scheduled: int = 0
    running: int = 0
    skipped: int = 0
    failed: int = 0
    remaining: int = 0
    forgotten: int = 0
    dead_lettered: int = 0
    redis: RedisState = "ok"
    unreadable: set[str] = field(default_factory=set)
    duration_seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The result as the API and the scripts show it."""
        seconds = round(self.duration_seconds, 3)
        return {**asdict(self), "unreadable": sorted(self.unreadable), "duration_seconds": seconds}

    def count(self, *, ran: bool, due: bool) -> None:
        """Count a job that was moved, or would be."""
        self.migrated += 1
        self.running += ran
        self.waiting += not ran and due
        self.scheduled += not ran and not due


Tell = Callable[[MigrationResult], None]
"""Hears how far a migration is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What one migration was asked for, with the mode that it follows for as long as that is in force."""

    wish: Mode
    source: Backend
    statuses: tuple[Movable, ...]
    tenure: Tenure | None = None  # None: a dry run


class Migration:
    """Moves jobs from backend to backend; any process may do so, with the API down or Redis dead, too."""

    def __init__(
        self, *, process: str, database: Database, mover: Mover, view: RqView, wait_seconds: float = 10.0
    ) -> None:
        self._process = process
        self._database = database
        self._mover = mover
        self._sweep = Sweep(database=database, view=view)
        self._wait_seconds = wait_seconds

    async def run(
        self,
        source: Backend,
        target: Backend,
        *,
        include_running: bool,
        dry_run: bool,
        by: str,
        epoch: int | None = None,
        tell: Tell | None = None,
    ) -> MigrationResult:
        """Move what waits at `source` to `target`, with `include_running` what runs there too, and tidy up RQ.

        `tell` hears of each batch. With `epoch` nothing is done once another mode is in force: a switch that was
        slower must not undo the next one.

        Raises Refused: `same_backend` (422), `mode_has_changed` (409), `rq_switched_off` (409: nothing would run
        them there), `migration_under_way` (409: another one has not ended in time); DatabaseUnavailable: whatever
        was moved is moved, and running it again goes on from there.
        """
        if source == target:
            raise Refused("same_backend", 422)
        began = time.monotonic()
        result = MigrationResult(source=source, target=target, dry_run=dry_run)
        carry: Carry = "running" if include_running else "waiting"
        if dry_run:
            order = await self._database.read(partial(_order, source=source, target=target, carry=carry))
            await self._tidy_up(order, result, moving=await self._preview(order, result))
        else:
            async with self._lease() as tenure:
                decide = partial(_wish, source=source, target=target, carry=carry, epoch=epoch)
                order = replace(await self._database.write(decide), tenure=tenure)
                await self._move(order, result, tell)
                await self._tidy_up(order, result, moving=set())
        result.duration_seconds = time.monotonic() - began
        _report(result, by)
        return result

    async def _preview(self, order: _Order, result: MigrationResult) -> set[JobId]:
        """Count what would be moved; the ids of those jobs."""
        now = await self._database.read(_now)
        moving: set[JobId] = set()
        for status in order.statuses:
            async for job in self._misplaced(order, status):
                result.count(ran=status == "running", due=job.due_at is None or job.due_at <= now)
                moving.add(job.id)
        result.skipped = await self._database.read(partial(_count_at, source=order.source)) - result.migrated
        return moving

    async def _move(self, order: _Order, result: MigrationResult, tell: Tell | None) -> None:
        idle = seen = 0
        for _ in range(_MOST_ROUNDS):
            seen, moved = await self._round(order, result, tell)
            if not seen:
                break
            idle = 0 if moved else idle + 1
            if idle == _MOST_IDLE_ROUNDS or not await _holds(order):
                break
            await asyncio.sleep(0.0 if moved else _IDLE_PAUSE_SECONDS)
        result.remaining = await self._count_misplaced(order) if seen else 0
        result.failed = min(seen, result.remaining)
        result.skipped = await self._database.read(partial(_count_at, source=order.source)) - result.remaining

    async def _round(self, order: _Order, result: MigrationResult, tell: Tell | None) -> tuple[int, int]:
        """Go over the jobs once; how many were there to be moved, and how many were."""
        seen = moved = 0
        for status in order.statuses:
            async for batch in self._mover.batches(order.wish, status, sources=(order.source,)):
                for job in batch.moved:
                    result.count(ran=status == "running", due=job.delivered_at is not None)
                seen, moved = seen + len(batch.seen), moved + len(batch.moved)
                if tell is not None:
                    tell(result)
                if not await _holds(order):
                    return seen, moved
        return seen, moved

    async def _misplaced(self, order: _Order, status: Movable) -> AsyncIterator[Placed]:
        after = JobId("")
        find = partial(rerouting.find_misplaced, mode=order.wish, status=status, sources=(order.source,))
        while page := await self._database.read(partial(find, after=after)):
            for job in page:
                yield job
            after = page[-1].id

    async def _count_misplaced(self, order: _Order) -> int:
        return sum([1 for status in order.statuses async for _ in self._misplaced(order, status)])

    async def _tidy_up(self, order: _Order, result: MigrationResult, moving: Collection[JobId]) -> None:
        """Forget deliveries that no claim would take, and keep what nobody knows; as far as Redis lets us.

        In a dry run the deliveries of what is `moving` would be such as well.
        """
        try:
            async for found, unreadable in self._sweep.judged(WAITING_PLACES):
                result.unreadable |= set(unreadable)
                foreign = by_verdict(found, FOREIGN)
                stale = [one for one in found if one.verdict in STALE or one.entry.job_id in moving]
                result.dead_lettered += await self._sweep.keep(foreign, dry_run=result.dry_run)
                if result.dry_run:
                    result.forgotten += len(stale)
                    continue
                await self._sweep.set_aside(foreign)
                result.forgotten += await self._sweep.forget(stale)
                if not await _holds(order):
                    return
            result.dead_lettered += await self._sweep.keep_letters(dry_run=result.dry_run)
        except RqRefused:
            result.redis = "refused"
        except ConnectionError:
            result.redis = "unreachable"

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[Tenure]:
        """Be the only one that migrates, under a name of this call's own."""
        holder = f"{self._process}/{uuid4().hex[:6]}"
        tenure = Tenure(self._database, name=MIGRATION_LEASE, holder=holder, seconds=_LEASE_SECONDS)
        deadline = time.monotonic() + self._wait_seconds
        while not await tenure.hold():
            if time.monotonic() > deadline:
                raise Refused("migration_under_way", 409)
            await asyncio.sleep(_ASK_AGAIN_SECONDS)
        try:
            yield tenure
        finally:
            with suppress(DatabaseUnavailable):  # then it runs out
                await tenure.end()


async def _holds(order: _Order) -> bool:
    return order.tenure is not None and await order.tenure.hold()


def _order(connection: Connection, source: Backend, target: Backend, carry: Carry) -> _Order:
    """What is to be done as things stand; raises Refused where nothing could run the jobs there."""
    return _order_under(current_mode(connection) or _silence(connection), source, target, carry)


def _order_under(mode: Mode, source: Backend, target: Backend, carry: Carry) -> _Order:
    if target == "rq" and not mode.enabled:
        raise Refused("rq_switched_off", 409)
    wish = mode if mode.target == target else replace(mode, backend=target, enabled=True, rollout=Rollout())
    statuses: tuple[Movable, ...] = ("pending", "running") if carry == "running" else ("pending",)
    return _Order(wish=wish, source=source, statuses=statuses)


def _wish(connection: Connection, source: Backend, target: Backend, carry: Carry, epoch: int | None) -> _Order:
    """As `_order`; and where the mode has the same target, the wish becomes its own.

    Where it has the other one, what it took along is withdrawn: it would move these jobs back, and this is the
    later word.
    """
    mode = current_mode(connection) or _silence(connection)
    if epoch is not None and mode.epoch != epoch:
        raise Refused("mode_has_changed", 409)
    order = _order_under(mode, source, target, carry)
    agrees = mode.target == target
    others = _CARRIES[: _CARRIES.index(carry)] if agrees else _CARRIES[1:]
    connection.execute(
        update(worker_mode)
        .where(worker_mode.c.epoch == mode.epoch, worker_mode.c.carry.in_(others))
        .values(carry=carry if agrees else "nothing")
    )
    return order


def _silence(connection: Connection) -> Mode:
    """The mode before anyone has said anything."""
    return Mode(
        epoch=0,
        backend="background_tasks",
        enabled=True,
        carry="nothing",
        rollout=Rollout(),
        since=_now(connection),
        said_by="",
        reason="",
        source="",
    )


def _now(connection: Connection) -> datetime:
    return connection.execute(select(db_now())).scalar_one()


def _count_at(connection: Connection, source: Backend) -> int:
    there = select(func.count()).where(jobs.c.backend == source, jobs.c.status.in_(sorted(LIVE)))
    return connection.execute(there).scalar_one()


def _report(result: MigrationResult, by: str) -> None:
    extra = {"action": "migrated", "by": by, **result.as_json()}
    _log.info("%d jobs of %s went to %s", result.migrated, result.source, result.target, extra=extra)
