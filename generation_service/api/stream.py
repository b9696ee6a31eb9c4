"""The event stream: a job's log as server-sent events, resumable anywhere, ended in peace on a drain."""

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from generation_service.api.drain import Drain
from generation_service.api.feed import Feed, Follower
from generation_service.api.problems import Problem, respond
from generation_service.jobs.model import Job, JobEvent, Json
from generation_service.settings import Settings

_log = logging.getLogger(__name__)

# What a reader waits before it comes back, from and to; spread, so that not all come at once after a restart.
_RETRY_MILLISECONDS = (1000, 2000)
_GRACE_SECONDS = 3.0
_FULL_RETRY_AFTER_SECONDS = 5
Retell: TypeAlias = Callable[[Mapping[str, Json]], Mapping[str, Json]]
_HEADERS = {"Cache-Control": "no-cache, no-transform", "Incremental": "?1"}


def _as_it_is(data: Mapping[str, Json]) -> Mapping[str, Json]:
    return data


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
    settings: Settings

    def open(self, job: Job, after: int, retell: Retell = _as_it_is) -> Response:
        """The answer that streams the events behind `after`; 204 where the job has ended and there are none.

        `retell` says to this reader what an event holds.

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
    """One reader's stream. Its slot is taken and given back within the call, so that no early end can leak it."""

    def __init__(self, streams: Streams, job: Job, after: int, retell: Retell = _as_it_is) -> None:
        self._streams = streams
        self._job = job
        self._after = after
        self._retell = retell
        self._end = _End()
        settings = streams.settings
        super().__init__(
            self._events(),
            headers=_HEADERS,
            ping=settings.stream_ping_seconds,
            ping_message_factory=lambda: ServerSentEvent(comment="still here"),
            send_timeout=settings.stream_send_timeout_seconds,
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
        forget = self._streams.drain.listen(self._end.set)
        too_old = asyncio.get_running_loop().call_later(self._streams.settings.stream_max_age_seconds, self._end.set)
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            _log.info("A reader of job %s took nothing and was dropped", self._job.id, extra={"action": "slow_reader"})
        finally:
            too_old.cancel()
            forget()
            slots.give_back()

    async def _events(self) -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent(retry=random.randint(*_RETRY_MILLISECONDS))  # noqa: S311 - spreads load
        with self._streams.feed.follow(self._job.id, after=self._after, known=self._job.seq) as follower:
            self._end.follower = follower
            if self._end.said:  # before there was a follower to stop
                return
            async for batch in follower.batches():
                for event in batch:
                    if self._end.said:
                        return
                    yield _frame(event, self._retell)


def _frame(event: JobEvent, retell: Retell) -> ServerSentEvent:
    told = {**retell(event.data), "sequence": event.sequence}
    data = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return ServerSentEvent(data, event=event.type, id=str(event.sequence))
