"""The heartbeat: one thread a process keeps the leases of all its jobs, and tells a run that has lost its own.

It stops keeping leases when the event loop stops ticking: a process that cannot run its jobs must
not hold them.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import Connection, select, tuple_, update

from generation_service.database import Database, db_now
from generation_service.database.tables import jobs
from generation_service.errors import DatabaseUnavailable, Fenced
from generation_service.jobs.model import Claim, JobId

_log = logging.getLogger(__name__)

Held = tuple[JobId, int]

CHECK_SECONDS = 1.0
"""How often a run's fence is looked at: a cancelled step stops within two seconds."""

_LONGEST_RENEWAL_SECONDS = 10.0
_LONGEST_TICK_SECONDS = 1.0


def renewal_seconds(lease_seconds: float) -> float:
    """How often a lease of this length is renewed."""
    return min(lease_seconds / 3, _LONGEST_RENEWAL_SECONDS)


@dataclass(slots=True)
class Lease:
    """The lease of one running job, as its run sees it."""

    claim: Claim
    valid_until: float  # monotonic
    loop: asyncio.AbstractEventLoop
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # set once the job is lost, or is to be released
    why: Literal["held", "lost", "released"] = "held"
    hands_over: bool = False  # to be released before its next step

    def begin_step(self) -> None:
        """End here, between two steps, where that was asked for: nothing that was paid for is lost."""
        if self.hands_over:
            self.end("released")

    def check(self) -> None:
        """Raise Fenced where this process may no longer act for the job."""
        if self.why != "held" or time.monotonic() > self.valid_until:
            raise Fenced(self.claim.id, self.claim.fence)

    def end(self, why: Literal["lost", "released"]) -> None:
        """Stop the run: on the event loop only."""
        if self.why == "held":
            self.why = why
            self.ended.set()


class Heartbeat:
    """Keeps the leases of the runs registered with `hold`."""

    def __init__(self, *, database: Database, lease_seconds: float) -> None:
        self._database = database
        self._lease_seconds = lease_seconds
        self._leases: dict[Held, Lease] = {}
        self._hands_over = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ticked_at = time.monotonic()
        self._thread: threading.Thread | None = None
        self._ticker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the thread, and the ticks of the running event loop."""
        self._ticked_at = time.monotonic()
        self._ticker = asyncio.create_task(self._tick(), name="heartbeat-tick")
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Stop both; leases that are still held run out."""
        self._stop.set()
        if self._ticker is not None:
            self._ticker.cancel()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    @contextmanager
    def hold(self, claim: Claim, *, claimed_at: float) -> Iterator[Lease]:
        """Keep the lease of `claim` for as long as the context lasts; `claimed_at` is monotonic, before the claim."""
        until = claimed_at + self._lease_seconds
        lease = Lease(claim, until, asyncio.get_running_loop(), hands_over=self._hands_over)
        held = (claim.id, claim.fence)
        with self._lock:
            self._leases[held] = lease
        try:
            yield lease
        finally:
            with self._lock:
                del self._leases[held]

    def hand_over_all(self) -> None:
        """Ask every run of this process, those to come too, to give its job back before its next step."""
        self._hands_over = True
        for lease in self._snapshot():
            lease.hands_over = True

    def release_all(self) -> None:
        """Ask every run of this process to stop and give its job back: on the event loop only."""
        for lease in self._snapshot():
            lease.end("released")

    def _snapshot(self) -> list[Lease]:
        with self._lock:
            return list(self._leases.values())

    async def _tick(self) -> None:
        while True:
            self._ticked_at = time.monotonic()
            await asyncio.sleep(min(_LONGEST_TICK_SECONDS, self._lease_seconds / 8))

    def _beat(self) -> None:
        renewed_at = time.monotonic()
        pause = min(CHECK_SECONDS, self._lease_seconds / 6)
        while not self._stop.wait(pause):
            now = time.monotonic()
            renew = now - renewed_at >= renewal_seconds(self._lease_seconds) - pause
            if now - self._ticked_at > self._lease_seconds / 2:
                _log.warning("The event loop stands still: leases are not renewed", extra={"action": "loop_stalled"})
                continue
            try:
                self._look(renew=renew)
            except DatabaseUnavailable as error:
                _log.warning("Heartbeat: %s", error, extra={"action": "heartbeat_failed"})
                continue
            except Exception:  # noqa: BLE001 - the thread's boundary: if it died, every job of this process would be lost
                _log.exception("A heartbeat failed", extra={"action": "heartbeat_failed"})
                continue
            if renew:
                renewed_at = now

    def _look(self, *, renew: bool) -> None:
        leases = self._snapshot()
        if not leases:
            return
        before = time.monotonic()
        pairs = [(lease.claim.id, lease.claim.fence) for lease in leases]
        if renew:
            kept = self._database.write_now(lambda connection: _renew(connection, pairs, self._lease_seconds))
        else:
            kept = self._database.read_now(lambda connection: _still_held(connection, pairs))
        for lease in leases:
            if (lease.claim.id, lease.claim.fence) not in kept:
                lease.loop.call_soon_threadsafe(lease.end, "lost")
            elif renew:
                lease.valid_until = before + self._lease_seconds


def _renew(connection: Connection, pairs: Sequence[Held], lease_seconds: float) -> set[Held]:
    held = (tuple_(jobs.c.id, jobs.c.fence).in_(pairs), jobs.c.status == "running")
    # In id order, as everybody locks jobs: two who lock many must never wait for each other.
    locked = select(jobs.c.id).where(*held).order_by(jobs.c.id).with_for_update(key_share=True).cte("locked")
    statement = (
        update(jobs)
        .where(jobs.c.id.in_(select(locked.c.id)), *held)
        .values(lease_until=db_now(lease_seconds))
        .returning(jobs.c.id, jobs.c.fence)
    )
    return {(JobId(row.id), row.fence) for row in connection.execute(statement)}


def _still_held(connection: Connection, pairs: Sequence[Held]) -> set[Held]:
    held = tuple_(jobs.c.id, jobs.c.fence).in_(pairs)
    rows = connection.execute(select(jobs.c.id, jobs.c.fence).where(held, jobs.c.status == "running"))
    return {(JobId(row.id), row.fence) for row in rows}
