"""Recovery: rescues jobs whose holder is gone, routes what the mode wants elsewhere, delivers what was lost.

It runs in every long-lived process that can run jobs; one of them leads. Each change is a
compare-and-set that is complete in itself, so it may die at any line, and two leaders harm nothing (I8).
Of its two loops `turn` is prompt (rescue, route, deliver what is due); `redeliver` takes its time over what got lost.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import ColumnElement, Connection, case, func, or_, select, update

from generation_service.database import Database, db_now
from generation_service.database.operations import worker_mode
from generation_service.database.tables import jobs
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs import leadership, redelivery, rerouting, settlement, transitions
from generation_service.jobs.heartbeat import renewal_seconds
from generation_service.jobs.leadership import Tenure
from generation_service.jobs.loops import Loop
from generation_service.jobs.model import Backend, Job, JobId
from generation_service.jobs.moving import MIGRATION_LEASE, Mover
from generation_service.jobs.ports import DeliveryBackend, JobKind, Wakeups
from generation_service.jobs.redelivery import Redelivery
from generation_service.jobs.rerouting import Placed
from generation_service.jobs.retries import RetryPolicy
from generation_service.jobs.routing import Mode, current_mode
from generation_service.jobs.signs import Signs

_log = logging.getLogger(__name__)

_LEASE = "recovery"
_BATCH = 500
_CLOCKS_DISAGREE_SECONDS = 0.5
_IMPLIED_SECONDS = 5.0  # so old is a mode before what waits for an RQ part that is gone is moved unasked
_MOVING_SECONDS = 5.0  # the lease of whoever moves jobs, kept with each batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often recovery looks, how old a delivery must be to be doubted, and the length of a job's lease; seconds."""

    interval_seconds: float
    redelivery_seconds: float
    lease_seconds: float

    @property
    def leader_seconds(self) -> float:
        return max(4 * self.interval_seconds, 3.0)

    @property
    def renewal_seconds(self) -> float:
        """So old a leader's lease is renewed: with a turn a second each other time, and half of it is left."""
        return 0.4 * self.leader_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerouted:
    """The jobs that one call has moved, as they are now; their last delivery had the number before."""

    waiting: Sequence[Placed]
    running: Sequence[Placed]


class Recovery:
    """The upkeep of one process."""

    def __init__(
        self,
        *,
        process: str,
        database: Database,
        kinds: Mapping[str, JobKind],
        policy: RetryPolicy,
        backends: Mapping[Backend, DeliveryBackend],
        wakeups: Wakeups,
        pace: Pace,
        clock: Callable[[], float] = time.time,
        signs: Signs | None = None,
    ) -> None:
        self._process = process
        self._database = database
        self._kinds = kinds
        self._policy = policy
        self._redelivery = Redelivery(database=database, backends=backends, redelivery_seconds=pace.redelivery_seconds)
        self._mover = Mover(database=database, backends=backends, wakeups=wakeups)
        self._moving = Tenure(database, name=MIGRATION_LEASE, holder=process, seconds=_MOVING_SECONDS)
        self._wakeups = wakeups
        self._pace = pace
        self._clock = clock
        signs = signs or Signs(database)
        self._amiss = signs.add(case((leadership.anothers(_LEASE, process), None), else_=_amiss()))
        self._leads = False
        self._renew_at = 0.0  # monotonic: until then a lease that was this process's is so still
        self._quiet_until = 0.0  # monotonic: no rescue before
        self._clocks = (clock(), time.monotonic())
        self._turned_at: float | None = None  # monotonic: when the last turn ended
        self._turning = Loop(name="recovery", turn=self.turn, pause_seconds=pace.interval_seconds)
        self._redelivering = Loop(name="redelivery", turn=self.redeliver, pause_seconds=pace.interval_seconds)

    def start(self) -> None:
        """Start on the running event loop."""
        self._turning.start()
        self._redelivering.start()

    async def stop(self) -> None:
        """Stop, and let another process lead at once."""
        await asyncio.gather(self._turning.stop(), self._redelivering.stop())
        if self._leads:
            with contextlib.suppress(DatabaseUnavailable):  # then its lease runs out
                await self._database.write(lambda connection: leadership.give_up(connection, _LEASE, self._process))

    async def turn(self) -> None:
        """Look once, if this process leads."""
        self._compare_clocks()
        try:
            amiss = await self._amiss.look()  # None: another process leads, and this one is to look for nothing
            if not await self._lead(amiss):
                return
            self._compare_clocks()
            if amiss:
                await self._rescue()
                await self._reroute()
                await self._redelivery.deliver_undelivered()
        except DatabaseUnavailable:
            self._be_quiet()  # an outage must not make every job look abandoned
            raise
        finally:
            self._turned_at = time.monotonic()

    async def redeliver(self) -> None:
        """Deliver again what got lost on its way, if this process leads.

        Apart from `turn`: where many wait it takes its time, and nobody is rescued later for it.
        """
        if self._leads:
            await self._redelivery.deliver_lost(lambda: self._redelivering.stopping or not self._leads)

    async def _lead(self, amiss: bool | None) -> bool:  # noqa: FBT001 - what was seen, not a switch
        """Take or keep the lease. Whoever does not lead only reads: on SQLite a write is everybody's turn.

        While nothing is amiss it is renewed now and then only; but whoever is about to rescue has written just
        before: where writes hang, those of the holders hang too.
        """
        if amiss is None:
            self._leads = False
            return False
        if self._leads and not amiss and time.monotonic() < self._renew_at:
            return True
        self._renew_at = time.monotonic() + self._pace.renewal_seconds
        take = partial(leadership.take_or_keep, name=_LEASE, holder=self._process, seconds=self._pace.leader_seconds)
        # Whoever is to act waits for nobody else's row.
        leads = await (self._database.write(take) if amiss else self._database.keep_up(take, of=f"lease {_LEASE}"))
        if leads and not self._leads:
            _log.info("This process leads recovery", extra={"action": "leads_recovery"})
            self._be_quiet()
        self._leads = leads
        return leads

    def _be_quiet(self) -> None:
        self._quiet_until = time.monotonic() + renewal_seconds(self._pace.lease_seconds)

    def _is_quiet(self) -> bool:
        return time.monotonic() < self._quiet_until

    def _compare_clocks(self) -> None:
        """Rescue nothing after this process, and perhaps every other, was frozen for a while: heartbeats go first.

        Nor after the wall clock jumped: on SQLite leases are in its time. Asked again in the midst of a turn,
        before anybody is rescued: a database that stalls keeps heartbeats from it as well. It looks back to the
        end of the turn before, so that how long a turn goes on after that is all the same.
        """
        wall, steady = self._clock(), time.monotonic()
        longest = self._pace.interval_seconds + renewal_seconds(self._pace.lease_seconds)
        if self._turned_at is not None and steady - self._turned_at > longest:
            self._be_quiet()
        jumped = abs((wall - self._clocks[0]) - (steady - self._clocks[1])) > _CLOCKS_DISAGREE_SECONDS
        self._clocks = (wall, steady)
        if jumped and self._database.dialect == "sqlite":
            self._be_quiet()

    async def _rescue(self) -> None:
        if self._is_quiet():
            return
        abandoned = await self._database.read(lambda connection: _find(connection, _silent()))
        self._compare_clocks()
        if self._is_quiet():
            return
        for seen in abandoned:
            try:
                await self._rescue_one(seen)
            except DatabaseUnavailable:
                raise
            except Exception:  # noqa: BLE001 - one job that cannot be rescued must not keep recovery from all others
                extra = {"action": "rescue_failed", "job_id": seen.id}
                _log.exception("Job %s could not be rescued", seen.id, extra=extra)

    async def _rescue_one(self, seen: Job) -> None:
        def rescue(connection: Connection) -> Job | None:
            free = select(jobs.c.id).where(jobs.c.id == seen.id).with_for_update(key_share=True, skip_locked=True)
            if connection.execute(free).first() is None:
                return None  # somebody writes to it just now, or is frozen in the midst: the next turn comes back
            return settlement.rescue(connection, seen, self._kinds, self._policy)

        if await self._database.write(rescue) is not None:
            extra = {"action": "rescued", "job_id": seen.id}
            _log.warning("Job %s was abandoned by %s", seen.id, seen.holder, extra=extra)
            self._wakeups.wake([seen.id])

    async def _reroute(self) -> None:
        """Fulfil the mode's wish for what waits, and what runs: whoever switches does so too, only faster.

        Whoever moves jobs just now is left to it, and what no word but the lack of an RQ part asks for
        is left to whoever asks for it by name, for a while: so that they count what they move.
        """
        mode, now = await self._database.read(_mode_and_time)
        if mode is None or mode.moves == "nothing":
            return
        if mode.carry == "nothing" and now - mode.since < timedelta(seconds=_IMPLIED_SECONDS):
            return
        if await self._is_fulfilled(mode) or not await self._moving.hold():
            return
        try:
            await self.reroute(mode)
        finally:
            with contextlib.suppress(DatabaseUnavailable):  # then the lease runs out
                await self._moving.end()

    async def reroute(self, mode: Mode) -> Rerouted:
        """Move what `mode` takes along to where it wants it, and deliver it there; what was moved.

        Safe in any process and any number of them at once, the leader or not: a series of compare-and-sets.
        """
        waiting = await self._move_all(mode, "pending")
        running = await self._move_all(mode, "running") if mode.moves == "running" else []
        return Rerouted(waiting=waiting, running=running)

    async def _move_all(self, mode: Mode, status: rerouting.Movable) -> list[Placed]:
        moved: list[Placed] = []
        async for batch in self._mover.batches(mode, status):
            moved += batch.moved
            if not await self._moving.hold():
                break
        return moved

    async def _is_fulfilled(self, mode: Mode) -> bool:
        statuses: list[rerouting.Movable] = ["pending", "running"] if mode.moves == "running" else ["pending"]
        for status in statuses:
            find = partial(rerouting.find_misplaced, mode=mode, status=status, after=JobId(""), limit=1)
            if await self._database.read(find):
                return False
        return True


def write_off(connection: Connection, process: str) -> int:
    """Let the leases of a process that is known to have ended run out now: recovery need not wait for it; how many.

    What becomes of its jobs is decided as ever (I5). Were it alive after all, its fence would be refused (I3).
    """
    begins = f"{process}/"
    its_own = [jobs.c.status == "running", func.substr(jobs.c.holder, 1, len(begins)) == begins]
    return connection.execute(update(jobs).where(*its_own).values(lease_until=db_now())).rowcount


def _silent() -> list[ColumnElement[bool]]:
    return [jobs.c.status == "running", jobs.c.lease_until < db_now()]


def _amiss() -> ColumnElement[bool]:
    """Whether there is anything to rescue, to reroute or to deliver: mostly there is nothing."""
    newest = select(func.max(worker_mode.c.epoch)).scalar_subquery()
    moves = select(worker_mode.c.epoch).where(worker_mode.c.epoch == newest, _moves())
    return or_(_exists(_silent()), _exists(redelivery.undelivered()), moves.exists())


def _moves() -> ColumnElement[bool]:
    """Whether a mode takes jobs along: `Mode.moves`, as the database asks it."""
    return or_(worker_mode.c.carry != "nothing", ~worker_mode.c.enabled)


def _exists(conditions: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    return select(jobs.c.id).where(*conditions).exists()


def _mode_and_time(connection: Connection) -> tuple[Mode | None, datetime]:
    return current_mode(connection), connection.execute(select(db_now())).scalar_one()


def _find(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> list[Job]:
    rows = connection.execute(select(jobs).where(*conditions).order_by(jobs.c.id).limit(_BATCH))
    return [transitions.job_of(row) for row in rows]
