"""The ticker of durable mode: rq-scheduler, armed from the rows of `schedules`, which alone say what is due.

What rq-scheduler keeps is a reminder. It is never periodic there (killed between removing and
adding, rq-scheduler forgets a periodic job for ever) and never a cron expression (it reads those in
the local time of the process): each turn arms one tick, for the earliest due time of any row, under
an id that names that time. A tick that was lost, or fired in vain, leaves its row due, and the next
turn arms it again. A tick only calls `fire_due`, which fires each due time once, whoever calls it.
"""

import asyncio
import logging
import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from redis.exceptions import RedisError
from rq import Queue
from rq.job import Job as RqJob
from rq.scripts import acquire_or_refresh_lock, release_lock
from rq.serializers import JSONSerializer
from rq_scheduler import Scheduler

from generation_service.database import Database
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs.schedules import earliest_due
from generation_service.settings import Settings
from workers.names import FIRE_SCHEDULES, RESULT_TTL_SECONDS, TICK_PREFIX, TICK_QUEUE, queue_key
from workers.redis_connection import Client, connect
from workers.threads import Outage

_log = logging.getLogger(__name__)

_INTERVAL_SECONDS = 5.0
_SHORTEST_SECONDS = 0.05

_TICK = re.escape(TICK_PREFIX).encode() + rb"[0-9]{1,20}"
_TRACE = {"timeout": -1, "result_ttl": RESULT_TTL_SECONDS, "description": "schedules"}
_KEPT = {"timeout": -1, "job_result_ttl": RESULT_TTL_SECONDS, "job_description": "schedules"}  # `enqueue_at` says it so

EarliestDue = Callable[[], datetime | None]


class JsonJob(RqJob):
    """An RQ job that is JSON where nobody says otherwise, as rq-scheduler never does."""

    def __init__(self, id: str | None = None, connection: Any = None, serializer: Any = None) -> None:  # noqa: A002 - RQ's name
        super().__init__(id, connection, serializer or JSONSerializer)


class JsonQueue(Queue):
    """A queue of such jobs."""

    def __init__(self, name: str, connection: Any = None, **options: Any) -> None:
        super().__init__(name, connection, **{**options, "serializer": JSONSerializer, "job_class": JsonJob})


class TickScheduler(Scheduler):  # type: ignore[misc]  # rq-scheduler is not typed
    """rq-scheduler, for ticks of ours alone: what others have planned in the same Redis is left to them."""

    job_class = JsonJob
    queue_class = JsonQueue

    def __init__(self, client: Client, interval_seconds: float) -> None:
        super().__init__(TICK_QUEUE, connection=client, interval=max(1, math.ceil(interval_seconds)))
        self._token = uuid4().hex

    def arm(self, due: datetime) -> None:
        """Plan a tick for `due`; nothing where it is planned or waits already."""
        second = math.ceil(due.timestamp())
        tick = f"{TICK_PREFIX}{second}"
        if tick not in self and not self._waits(tick):
            self.enqueue_at(datetime.fromtimestamp(second, UTC), FIRE_SCHEDULES, **_KEPT, job_id=tick)

    def turn(self) -> None:
        """Show that this scheduler lives, and enqueue what is due, if no other does so now."""
        if not self.connection.exists(self.key):
            self.register_birth()  # also after a Redis that came back empty
        self.heartbeat()
        if self.acquire_lock():
            try:
                self.enqueue_jobs()
            finally:
                self.remove_lock()

    def acquire_lock(self) -> bool:
        """Take the lock, for a little longer than a turn; it names its owner, unlike rq-scheduler's own."""
        seconds = int(self._interval) + 10
        self._lock_acquired = (
            acquire_or_refresh_lock(self.connection, self.scheduler_lock_key, self._token, seconds) != "taken"
        )
        return self._lock_acquired

    def remove_lock(self) -> None:
        """Give the lock back, unless it is another's by now."""
        if self._lock_acquired:
            release_lock(self.connection, self.scheduler_lock_key, self._token)
            self._lock_acquired = False

    def get_jobs_to_queue(self, with_times: bool = False) -> Iterator[Any]:  # noqa: FBT001, FBT002 - rq-scheduler's signature
        """Our ticks that are due, made anew: what stands in their hashes has no say in what is enqueued."""
        for tick in self.connection.zrangebyscore(self.scheduled_jobs_key, 0, int(time.time())):
            if re.fullmatch(_TICK, tick):
                job = self._create_job(FIRE_SCHEDULES, commit=False, id=tick.decode(), **_TRACE)
                yield (job, None) if with_times else job

    def get_queue_for_job(self, job: RqJob) -> Queue:  # noqa: ARG002 - rq-scheduler's signature
        """The queue for urgent jobs."""
        return JsonQueue(TICK_QUEUE, self.connection)

    def enqueue_job(self, job: RqJob) -> None:
        """Enqueue a tick, unless it waits already: a day without workers must not pile up ticks."""
        if not self._waits(job.id):
            self.get_queue_for_job(job).enqueue_job(job)
        self.cancel(job.id)

    def _waits(self, tick: str) -> bool:
        return self.connection.lpos(queue_key(TICK_QUEUE), tick) is not None


class Ticker:
    """Keeps a `TickScheduler` going, whatever becomes of Redis and of the database."""

    def __init__(
        self, client: Client, earliest_due: EarliestDue, *, interval_seconds: float = _INTERVAL_SECONDS
    ) -> None:
        self._scheduler = TickScheduler(client, interval_seconds)
        self._earliest_due = earliest_due
        self._interval_seconds = interval_seconds
        self._outage = Outage("no tick is enqueued")
        self._blind = False

    async def run(self, stopping: asyncio.Event) -> None:
        """Tick until `stopping` is set."""
        while not stopping.is_set():
            pause = await asyncio.to_thread(self.turn)
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), pause)
        await asyncio.to_thread(self._sign_off)

    def turn(self) -> float:
        """Arm and enqueue once; return the seconds until the next turn. Blocking."""
        due = self._look_up()
        try:
            if due:
                self._scheduler.arm(due)
            self._scheduler.turn()
        except RedisError as error:
            return self._outage.failed(error)
        self._outage.succeeded()
        ahead = due.timestamp() - time.time() if due else self._interval_seconds
        # Overdue: the tick is on its way; asking more often would not speed it up.
        return min(max(ahead, _SHORTEST_SECONDS), self._interval_seconds) if ahead > 0 else self._interval_seconds

    def _look_up(self) -> datetime | None:
        try:
            due = self._earliest_due()
        except DatabaseUnavailable:
            if not self._blind:
                extra = {"action": "schedules_unreadable"}
                _log.warning("The schedules cannot be read; ticks that are armed go on", extra=extra)
            self._blind = True
            return None
        self._blind = False
        return due

    def _sign_off(self) -> None:
        with suppress(RedisError):  # then its key expires by itself
            self._scheduler.register_death()


async def run_scheduler(settings: Settings, database: Database, stopping: asyncio.Event) -> None:
    """Be the ticker until `stopping` is set; several may run.

    Waits for a Redis or a database that is not there. Raises ConfigurationError for a malformed URL.
    """
    client = connect(settings.redis_address, timeout_seconds=settings.redis_timeout_seconds, name="scheduler")
    try:
        _log.info("The scheduler begins", extra={"action": "scheduler_started"})
        await Ticker(client, lambda: database.read_now(earliest_due)).run(stopping)
        _log.info("The scheduler has ended", extra={"action": "scheduler_ended"})
    finally:
        client.close()
