"""One timer for all open streams: a comment keeps those alive that are idle, those that take nothing are dropped."""

import asyncio
from typing import Protocol

_BEATS = 15  # in the shorter of the two times: so exactly they are kept
_SHORTEST_BEAT_SECONDS = 0.01


class Beating(Protocol):
    """A stream, as far as its times go. Times are the event loop's."""

    sent_at: float
    sending_since: float | None

    def keep_alive(self) -> None:
        """Send a comment soon."""

    def drop(self) -> None:
        """End at once: the reader takes nothing."""


class Pulse:
    """Looks at every open stream a few times in `ping_seconds`; without one it rests."""

    def __init__(self, *, ping_seconds: float, send_timeout_seconds: float) -> None:
        self._send_timeout_seconds = send_timeout_seconds
        self._pause_seconds = max(min(ping_seconds, send_timeout_seconds) / _BEATS, _SHORTEST_BEAT_SECONDS)
        self._idle_seconds = max(ping_seconds - self._pause_seconds, 0.0)
        self._streams: set[Beating] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, stream: Beating) -> None:
        """Look after a stream, on the running event loop."""
        self._streams.add(stream)
        if self._timer is None:
            self._wait()

    def discard(self, stream: Beating) -> None:
        """Look after it no more."""
        self._streams.discard(stream)
        if not self._streams and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._pause_seconds, self._beat)

    def _beat(self) -> None:
        self._wait()
        now = asyncio.get_running_loop().time()
        for stream in self._streams:
            if stream.sending_since is not None:
                if now - stream.sending_since >= self._send_timeout_seconds:
                    stream.drop()
            elif now - stream.sent_at >= self._idle_seconds:
                stream.keep_alive()
