"""The two threads of a wakeup channel: one sends what gathers, one listens; both mend their own connection."""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from uuid import uuid4

_log = logging.getLogger(__name__)

_MOST_PENDING = 20_000  # beyond it news is dropped: readers poll besides
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0
_JOIN_SECONDS = 3.0

TURN_SECONDS = 0.25
"""A turn lasts about this long where nothing comes, so that a stop is noticed."""

REST_SECONDS = 10.0
"""As TURN_SECONDS, for a turn that a stop ends by itself."""


class ChannelThread(ABC):
    """A named thread that repeats `turn` until it is stopped, with pauses after failures of `expected` kinds."""

    def __init__(self, name: str, expected: tuple[type[Exception], ...]) -> None:
        self.name = name
        self.stopping = threading.Event()
        self._expected = expected
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; once."""
        self._thread.start()

    def stop(self) -> None:
        """Ask for the end and wait for it, for at most 3 seconds; harmless where it never began."""
        self.stopping.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_SECONDS)

    @abstractmethod
    def turn(self) -> None:
        """Do one piece of work, or none within TURN_SECONDS."""

    @abstractmethod
    def disconnect(self) -> None:
        """Drop the connection, whatever its state; the next turn makes another."""

    def _run(self) -> None:
        while not self.stopping.is_set():
            try:
                self.turn()
            except self._expected as error:
                self._failed(error)
            else:
                self._succeeded()
        self.disconnect()

    def _failed(self, error: Exception) -> None:
        self.disconnect()
        self._failures += 1
        if self._failures == 1:
            extra = {"action": "wakeups_lost", "error_type": type(error).__name__}
            _log.warning("%s cannot reach its server; readers fall back to polling", self.name, extra=extra)
        pause = min(_FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 10), _LONGEST_PAUSE_SECONDS)
        self.stopping.wait(pause)

    def _succeeded(self) -> None:
        if self._failures:
            _log.info("%s reaches its server again", self.name, extra={"action": "wakeups_restored"})
        self._failures = 0


class Sender(ChannelThread):
    """Sends ids in batches: what gathers while one is under way, or within `spacing_seconds`, goes as the next."""

    def __init__(self, name: str, expected: tuple[type[Exception], ...], spacing_seconds: float) -> None:
        super().__init__(name, expected)
        self._spacing_seconds = spacing_seconds
        self._pending: set[str] = set()
        self._some = threading.Condition()

    @abstractmethod
    def send(self, job_ids: list[str]) -> None:
        """Send one batch over this thread's own connection."""

    def put(self, job_ids: Iterable[str]) -> None:
        """Add to the next batch; returns at once."""
        with self._some:
            if len(self._pending) < _MOST_PENDING:
                self._pending.update(job_ids)
                self._some.notify()

    def turn(self) -> None:
        """Wait for ids, then send them."""
        with self._some:
            self._some.wait_for(lambda: self._pending or self.stopping.is_set(), timeout=REST_SECONDS)
            batch, self._pending = sorted(self._pending), set()
        if batch:
            self.send(batch)
            self.stopping.wait(self._spacing_seconds)

    def stop(self) -> None:
        """As ChannelThread, without waiting for news."""
        with self._some:
            self.stopping.set()
            self._some.notify()
        super().stop()


class ThreadedChannel:
    """A channel of two threads: a sender and, where this process has readers, a listener."""

    def __init__(self, sender: Sender, listener: ChannelThread | None) -> None:
        self._sender = sender
        self._listener = listener

    def wake(self, job_ids: Iterable[str]) -> None:
        """Tell the other processes; returns at once, never raises."""
        self._sender.put(job_ids)

    def start(self) -> None:
        """Begin to send and to listen."""
        self._sender.start()
        if self._listener:
            self._listener.start()

    def stop(self) -> None:
        """End both threads and close their connections."""
        self._sender.stop()
        if self._listener:
            self._listener.stop()


Hear = Callable[[Iterable[str]], None]
"""Takes the ids of the jobs that other processes tell of."""


def new_origin() -> str:
    """A mark by which a process knows its own messages."""
    return uuid4().hex[:12]


def encode(origin: str, job_ids: Iterable[str]) -> str:
    """One message: who sends it, then the ids."""
    return " ".join([origin, *job_ids])


def decode(message: str, own_origin: str) -> list[str]:
    """The ids of a message; none where it is our own."""
    origin, *job_ids = message.split(" ")
    return [] if origin == own_origin else job_ids
