"""The event stream: a job's log as server-sent events, resumable anywhere, ended in peace on a drain."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from generation_service.api.drain import Drain
from generation_service.api.feed import Feed, Follower
from generation_service.api.frames import Retell, messages
from generation_service.api.problems import Problem, respond
from generation_service.api.pulse import Pulse
from generation_service.jobs.model import Job
from generation_service.settings import Settings

_log = logging.getLogger(__name__)

# What a reader waits before it comes back, from and to; spread, so that not all come at once after a restart.
_RETRY_MILLISECONDS = (1000, 2000)
_GRACE_SECONDS = 3.0
_FULL_RETRY_AFTER_SECONDS = 5
_HEADERS = {"Cache-Control": "no-cache, no-transform", "Incremental": "?1"}
_STILL_HERE = ServerSentEvent(comment="still here").encode()


class Slots:
    """How many streams of this process are open, of how many at most."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.taken = 0

    def take(self) -> bool:
        """Take a slot; False where none is free."""
        if self.taken >= self._most:
            return False
        self.taken += 1
        return True

    def give_back(self) -> None:
        """Give back a slot that was taken."""
        self.taken -= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """What every stream of this process shares."""

    feed: Feed
    drain: Drain
    slots: Slots
    pulse: Pulse
    settings: Settings

    def open(self, job: Job, after: int, retell: Retell) -> Response:
        """The answer that streams the events behind `after`; 204 where the job has ended and there are none.

        `retell` says to this reader what an event holds; the same function for all who are told the same.

        While the process drains it is a stream that ends at once: an answer of 503 would stop a
        browser from ever coming back.
        """
        if job.ended and after >= job.seq:
            return Response(status_code=204, headers={"Cache-Control": "no-store"})
        return EventStream(self, job, after, retell)


class _End:
    """How a stream is told to end, by the drain, its age, or sse-starlette (which just calls `set`)."""

    def __init__(self) -> None:
        self.said = False
        self.follower: Follower | None = None

    def set(self) -> None:
        self.said = True
        if self.follower is not None:
            self.follower.stop()


class EventStream(EventSourceResponse):
    """One reader's stream. Its slot is taken and given back within the call, so that no early end can leak it.

    Comments and the end of a reader that takes nothing are the pulse's: sse-starlette would take a task for
    each stream and a timer for each message, a third of what sending it costs.
    """

    def __init__(self, streams: Streams, job: Job, after: int, retell: Retell) -> None:
        self._streams = streams
        self._job = job
        self._after = after
        self._retell = retell
        self._end = _End()
        self._patience = anyio.CancelScope()
        self.sent_at = 0.0
        self.sending_since: float | None = None
        super().__init__(
            self._events(),
            headers=_HEADERS,
            ping=0,
            shutdown_event=self._end,  # type: ignore[arg-type]  # of the event only `set` is ever used
            shutdown_grace_period=_GRACE_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 429 where too many streams are open, else stream until an end."""
        slots = self._streams.slots
        if not slots.take():
            headers = {"Retry-After": str(_FULL_RETRY_AFTER_SECONDS)}
            problem = Problem(code="too_many_streams", status=429, headers=headers)
            refusal = respond(problem, Headers(scope=scope).get("accept-language"))
            await refusal(scope, receive, send)
            return
        try:
            await self._stream(scope, receive, send)
        finally:
            slots.give_back()

    def keep_alive(self) -> None:
        """Send a comment soon."""
        if self._end.follower is not None:
            self._end.follower.ping()

    def drop(self) -> None:
        """End at once: the reader takes nothing."""
        self._patience.cancel()

    async def _send_with_timeout(self, send: Send, message: Message) -> None:
        """Instead of sse-starlette's own: the pulse keeps the time."""
        await send(message)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop, streams = asyncio.get_running_loop(), self._streams

        async def timed(message: Message) -> None:
            self.sending_since = self.sent_at = loop.time()
            await send(message)
            self.sending_since = None

        forget = streams.drain.listen(self._end.set)
        too_old = loop.call_later(streams.settings.stream_max_age_seconds, self._end.set)
        streams.pulse.add(self)
        try:
            with self._patience:
                await super().__call__(scope, receive, timed)
        finally:
            streams.pulse.discard(self)
            too_old.cancel()
            forget()
        if self._patience.cancelled_caught:
            _log.info("A reader of job %s took nothing and was dropped", self._job.id, extra={"action": "slow_reader"})

    async def _events(self) -> AsyncIterator[bytes]:
        yield ServerSentEvent(retry=random.randint(*_RETRY_MILLISECONDS)).encode()  # noqa: S311 - spreads load
        with self._streams.feed.follow(self._job.id, after=self._after, known=self._job.seq) as follower:
            self._end.follower = follower
            if self._end.said:  # before there was a follower to stop
                return
            async for batch in follower.batches():
                for message in messages(batch, self._retell) if batch else (_STILL_HERE,):
                    if self._end.said:
                        return
                    yield message
