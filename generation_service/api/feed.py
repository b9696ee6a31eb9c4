"""The event logs that are being read in this process: one reader a job, however many follow it.

A follower first reads the log from the database up to its end, then gets what the job's reader
finds. Numbers have no gap, so a follower that misses one (its queue ran over, or it joined late)
simply reads the database again: the queue saves reads, and correctness never rests on it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from sqlalchemy import Connection, select

from generation_service.database import Database
from generation_service.database.tables import jobs
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs.loops import Loop
from generation_service.jobs.model import ENDED, JobEvent, JobId

PAGE = 500
_MOST_QUEUED = 2_000
_IDS_A_QUERY = 500
_POLL_SECONDS = 1.0


class EventLog(Protocol):
    """What the feed reads (`generation_service.jobs.service.Jobs` has it)."""

    async def events_after(self, job_id: JobId, after: int, limit: int = PAGE) -> Sequence[JobEvent]:
        """The events with a number above `after`, in order."""


class News(Protocol):
    """A wait for news of one job."""

    async def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait; False where none came in time."""


class NewsSource(Protocol):
    """What wakes the feed (`generation_service.wakeups.Fanout` has it)."""

    def subscribe(self, job_id: str) -> AbstractContextManager[News]:
        """Be told of news of `job_id`."""

    def wake_here(self, job_ids: Iterable[str]) -> None:
        """Tell those that are subscribed in this process."""


class Follower:
    """One reader of one job's log, from the event after `position` on."""

    def __init__(self, log: EventLog, job_id: JobId, position: int) -> None:
        self._log = log
        self._job_id = job_id
        self.position = position
        self._queue: deque[JobEvent] = deque()
        self._some = asyncio.Event()
        self._ahead = True  # the log may hold events that are not in the queue
        self._stopped = False

    def stop(self) -> None:
        """Let `batches` come to its end."""
        self._stopped = True
        self._some.set()

    def put(self, events: Sequence[JobEvent]) -> None:
        """Take what the job's reader found; beyond 2,000 it is dropped, and read again from the database."""
        if len(self._queue) + len(events) > _MOST_QUEUED:
            self._queue.clear()
            self._ahead = True
        else:
            self._queue.extend(events)
        self._some.set()

    async def batches(self) -> AsyncIterator[Sequence[JobEvent]]:
        """Yield events in order, without gap or repeat, until the last event of the log is an ending, or `stop`."""
        while not self._stopped:
            batch = await self._next()
            if batch:
                self.position = batch[-1].sequence
                yield batch
                # An ending is the end only where nothing follows it: a failed job can be reopened.
                if batch[-1].type in ENDED:
                    self._ahead = True
                    if not await self._from_log(1):
                        return
            elif not (self._ahead or self._queue or self._stopped):  # stopped while it read: `clear` would forget it
                self._some.clear()
                await self._some.wait()

    async def _next(self) -> Sequence[JobEvent]:
        if not self._ahead:
            return self._from_queue()
        self._ahead = False  # before the read: a queue that runs over meanwhile says so again
        page = await self._from_log(PAGE)
        self._ahead = self._ahead or len(page) == PAGE
        return page

    async def _from_log(self, limit: int) -> Sequence[JobEvent]:
        while not self._stopped:
            try:
                return await self._log.events_after(self._job_id, self.position, limit)
            except DatabaseUnavailable:  # the poll, which meets the same, says so; a reader just has to wait
                await asyncio.sleep(_POLL_SECONDS)
        return ()

    def _from_queue(self) -> Sequence[JobEvent]:
        batch = [event for event in self._queue if event.sequence > self.position]
        self._queue.clear()
        if batch and batch[0].sequence != self.position + 1:
            self._ahead = True
        return [] if self._ahead else batch


class _Reader:
    """Reads one job's log for all its followers in this process, each time its subscription brings news."""

    def __init__(self, log: EventLog, job_id: JobId, position: int, news: AbstractContextManager[News]) -> None:
        self._log = log
        self._job_id = job_id
        self._news = news
        self.position = position
        self.followers: set[Follower] = set()
        # Listening begins here, not when the task first runs: what is committed in between is not missed.
        self._task = asyncio.create_task(self._read_on(news.__enter__()), name=f"events-{job_id}")

    def close(self) -> None:
        """Stop reading and listening."""
        self._task.cancel()
        self._news.__exit__(None, None, None)

    async def _read_on(self, news: News) -> None:
        while True:
            await news.wait()
            try:
                await self._hand_out()
            except DatabaseUnavailable:  # the poll, which meets the same, says so, and wakes this again
                continue

    async def _hand_out(self) -> None:
        page: Sequence[JobEvent] | None = None
        while page is None or len(page) == PAGE:
            page = await self._log.events_after(self._job_id, self.position, PAGE)
            for follower in self.followers if page else ():
                follower.put(page)
            self.position = page[-1].sequence if page else self.position


class Feed:
    """All readers of this process, and the poll that finds what no wakeup told of."""

    def __init__(
        self, *, log: EventLog, database: Database, news: NewsSource, poll_seconds: float = _POLL_SECONDS
    ) -> None:
        self._log = log
        self._database = database
        self._news = news
        self._readers: dict[JobId, _Reader] = {}
        self._poll = Loop(name="event-poll", turn=self._look, pause_seconds=poll_seconds)

    def start(self) -> None:
        """Begin to poll, on the running event loop."""
        self._poll.start()

    async def stop(self) -> None:
        """Stop polling."""
        await self._poll.stop()

    @contextmanager
    def follow(self, job_id: JobId, *, after: int, known: int) -> Iterator[Follower]:
        """Follow a job's log behind event `after`, on the running event loop.

        `known` is the number of an event that is committed already, such as the job's `seq`.
        """
        follower = Follower(self._log, job_id, after)
        if job_id not in self._readers:
            self._readers[job_id] = _Reader(self._log, job_id, known, self._news.subscribe(job_id))
        reader = self._readers[job_id]
        reader.followers.add(follower)
        try:
            yield follower
        finally:
            reader.followers.discard(follower)
            if not reader.followers:
                self._readers.pop(job_id).close()

    async def _look(self) -> None:
        """Find the jobs whose logs have grown, in one query for all that are followed here."""
        followed = {job_id: reader.position for job_id, reader in self._readers.items()}
        if followed:
            numbers = await self._database.read(lambda connection: _last_numbers(connection, list(followed)))
            self._news.wake_here([job_id for job_id, number in numbers.items() if number > followed[job_id]])


def _last_numbers(connection: Connection, job_ids: Sequence[JobId]) -> Mapping[JobId, int]:
    found: dict[JobId, int] = {}
    for start in range(0, len(job_ids), _IDS_A_QUERY):
        some = job_ids[start : start + _IDS_A_QUERY]
        rows = connection.execute(select(jobs.c.id, jobs.c.seq).where(jobs.c.id.in_(some)))
        found.update({row.id: row.seq for row in rows})
    return found
