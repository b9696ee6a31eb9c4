"""Following a job: every event of its stream once and in order, across cuts, drains and restarts."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from generation_service.cli.client import Api, ApiProblem
from generation_service.errors import TransientError

_FIRST_PAUSE_SECONDS = 1.0  # until the stream's own `retry:` says otherwise
_LONGEST_PAUSE_SECONDS = 10.0
# How long nobody may answer before following is given up; a restart takes seconds.
PATIENCE_SECONDS = 300.0
ENDINGS = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a job: its number, its type, its data."""

    sequence: int
    type: str
    data: Mapping[str, Any]


class _Pace:
    """When to ask again, and when to give up: what the server's `retry:` and its silence say."""

    def __init__(self, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._base = self.wait = _FIRST_PAUSE_SECONDS
        self._answered = time.monotonic()

    def heard(self, retry_milliseconds: int | None = None) -> None:
        """Somebody is there, and may have said how long to wait before asking again."""
        if retry_milliseconds is not None:
            self._base = retry_milliseconds / 1000
        self.wait = self._base
        self._answered = time.monotonic()

    def failed(self, error: TransientError | ApiProblem) -> None:
        """Wait longer next time; raises `error` where asking again is of no use."""
        hopeless = isinstance(error, ApiProblem) and not error.transient
        if hopeless or time.monotonic() - self._answered > self._patience_seconds:
            raise error
        self.wait = max(min(self.wait * 2, _LONGEST_PAUSE_SECONDS), error.retry_after or 0)


def follow(
    api: Api,
    job_id: str,
    after: int = 0,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[Event]:
    """Yield the events behind number `after` until the job has ended.

    Raises ApiProblem where the job may not be read, TransientError where nobody answers for
    `patience_seconds`.
    """
    seen, ended, pace = after, False, _Pace(patience_seconds)
    while not ended:
        try:
            with api.events(job_id, seen) as frames:
                pace.heard()
                if frames is None:
                    return
                for event in _next_events(frames, seen, pace):
                    seen = event.sequence
                    yield event
                    # An ending ends the stream only where it is the last event: a job may be reopened.
                    ended = event.type in ENDINGS
        except (TransientError, ApiProblem) as error:
            ended = False  # cut behind an ending: whether that was all is not known
            pace.failed(error)
        if not ended:
            pause(pace.wait)


def _next_events(frames: Iterator[httpx2.ServerSentEvent], seen: int, pace: _Pace) -> Iterator[Event]:
    """What one connection brings behind event `seen`, up to its end or to a gap (to be asked for again)."""
    for frame in frames:
        pace.heard(frame.retry)
        if not frame.data:
            continue  # it only carries `retry:`
        event = Event(int(frame.id), frame.event, json.loads(frame.data))
        if event.sequence > seen + 1:
            return
        if event.sequence == seen + 1:
            seen = event.sequence
            yield event
