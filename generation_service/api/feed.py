"""The event logs that are being read in this process: one reader a job, however many follow it.

A follower first reads the log from the database up to its end, then gets what the job's reader
finds. Numbers have no gap, so a follower that misses one (its queue ran over, or it joined late)
simply reads the database again: the queue saves reads, and correctness never rests on it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

from generation_service.api.frames import Entry
from generation_service.api.reads import Ask, Log, Reads
from generation_service.jobs.loops import Loop
from generation_service.jobs.model import JobId

_MOST_QUEUED = 2_000
_POLL_SECONDS = 1.0
_SPACING_SECONDS = 0.02


class NewsSource(Protocol):
    """What wakes the feed (`generation_service.wakeups.Fanout` has it)."""

    def listen(self, job_id: str, tell: Callable[[], None]) -> AbstractContextManager[None]:
        """Have `tell` called on the running event loop when there is news of `job_id`."""


class Follower:
    """One reader of one job's log, from the event after `position` on.

    `behind` says that the log may hold events that its job's reader has read already.
    """

    def __init__(self, ask: Ask, job_id: JobId, position: int, *, behind: bool) -> None:
        self._ask = ask
        self._job_id = job_id
        self.position = position
        self._queue: deque[Entry] = deque()  # what the job's reader found
        self._page: Sequence[Entry] = ()  # what was read for this one alone
        self._behind = behind
        self._asking = False
        self._ended = False  # the last event was an ending
        self._over = False
        self._pinged = False
        self._some = asyncio.Event()

    def stop(self) -> None:
        """Let `batches` come to its end."""
        self._over = True
        self._some.set()

    def ping(self) -> None:
        """Let `batches` yield nothing, once, where it has nothing to yield."""
        self._pinged = True
        self._some.set()

    def put(self, entries: Sequence[Entry]) -> None:
        """Take what the job's reader found; beyond 2,000 it is dropped, and read again from the database."""
        if len(self._queue) + len(entries) > _MOST_QUEUED:
            self._queue.clear()
            self._behind = True
        else:
            self._queue.extend(entries)
        self._some.set()

    async def batches(self) -> AsyncIterator[Sequence[Entry]]:
        """Yield events in order, without gap or repeat, until the last event of the log is an ending, or `stop`."""
        while not self._over:
            batch = self._next()
            if batch:
                self.position = batch[-1].sequence
                # An ending is the end only where nothing follows it: a failed job can be reopened.
                self._ended = batch[-1].ends
                self._behind = self._behind or self._ended
                yield batch
            elif self._pinged:
                self._pinged = False
                yield ()
            else:
                self._some.clear()
                await self._some.wait()

    def _next(self) -> Sequence[Entry]:
        if self._asking:
            return ()
        if self._page:
            page, self._page = self._page, ()
            return page
        batch = [entry for entry in self._queue if entry.sequence > self.position]
        self._queue.clear()
        if batch and batch[0].sequence == self.position + 1:
            return batch
        if batch or self._behind:
            self._asking, self._behind = True, False  # before the read: a queue that runs over meanwhile says so again
            self._ask((self._job_id, self.position), self._take)
        return ()

    def _take(self, entries: Sequence[Entry], whole: bool) -> None:  # noqa: FBT001 - an Answer
        self._asking = False
        self._page = entries
        self._behind = self._behind or not whole
        newer = entries or any(entry.sequence > self.position for entry in self._queue)
        self._over = self._over or (self._ended and not newer)
        self._some.set()


class _Reader:
    """Reads one job's log for all its followers in this process, each time there is news of it."""

    def __init__(self, ask: Ask, job_id: JobId, position: int) -> None:
        self._ask = ask
        self._job_id = job_id
        self._looking = self._again = False
        self.position = position
        self.followers: set[Follower] = set()
        self.listening = ExitStack()

    def look(self) -> None:
        """Have the log read; once more where that is under way."""
        if self._looking:
            self._again = True
        else:
            self._looking, self._again = True, False
            self._ask((self._job_id, self.position), self._take)

    def _take(self, entries: Sequence[Entry], whole: bool) -> None:  # noqa: FBT001 - an Answer
        self._looking = False
        if entries:
            self.position = entries[-1].sequence
            for follower in self.followers:
                follower.put(entries)
        if (self._again or not whole) and self.followers:
            self.look()


class Feed:
    """All readers of this process, and the poll that finds what no wakeup told of."""

    def __init__(
        self,
        *,
        log: Log,
        news: NewsSource,
        poll_seconds: float = _POLL_SECONDS,
        spacing_seconds: float = _SPACING_SECONDS,
    ) -> None:
        self._source = news
        self._readers: dict[JobId, _Reader] = {}
        # Apart, so that news does not wait for what followers catch up with.
        self._news = Reads(log, name="event-news", spacing_seconds=spacing_seconds)
        self._missed = Reads(log, name="event-catch-up")
        self._poll = Loop(name="event-poll", turn=self._look, pause_seconds=poll_seconds)
        self._parts = (self._news, self._missed, self._poll)

    def start(self) -> None:
        """Begin to read and to poll, on the running event loop."""
        for part in self._parts:
            part.start()

    async def stop(self) -> None:
        """Stop reading and polling."""
        for part in self._parts:
            await part.stop()

    @contextmanager
    def follow(self, job_id: JobId, *, after: int, known: int) -> Iterator[Follower]:
        """Follow a job's log behind event `after`, on the running event loop.

        `known` is the number of an event that is committed already, such as the job's `seq`.
        """
        reader = self._readers.get(job_id)
        if reader is None:
            reader = self._readers[job_id] = _Reader(self._news.ask, job_id, known)
            # Listening begins here, not with a first read: what is committed from now on is not missed.
            reader.listening.enter_context(self._source.listen(job_id, reader.look))
        follower = Follower(self._missed.ask, job_id, after, behind=after < max(known, reader.position))
        reader.followers.add(follower)
        try:
            yield follower
        finally:
            reader.followers.discard(follower)
            if not reader.followers:
                del self._readers[job_id]
                reader.listening.close()

    async def _look(self) -> None:
        for reader in self._readers.values():
            reader.look()
