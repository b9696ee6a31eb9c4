"""An RQ worker that holds many jobs at once on one event loop.

The event loop is the caller's, in the main thread: there the jobs run, and there signals arrive as
ordinary callbacks, so that none can cut anything in two (a stock worker raises from its signal
handler, and loses what it has just popped). Redis is left to three threads, each with a connection
of its own: one pops, one keeps RQ's book (registration, started and ended jobs, heartbeats,
leftovers), one listens for commands. None of them can hold up a job, and no trouble of theirs
reaches one: the truth is the database, whose claims decide who runs what.

What differs from a stock worker, on purpose:

1. Nothing is called but this project's two entry points, and those not by import: a job goes to
   `execute`, a tick to `on_tick`. Anything else goes to `on_foreign` and is then removed.
2. A pop never blocks inside Redis, moves ids through the intermediate list with several queues,
   too, and `rq suspend` is a barrier: no id is popped after it.
3. A job is finished for RQ when `execute` has returned, whatever the database says. RQ repeats
   nothing, runs no callback and knows no time-out.
4. An id whose hash is gone still names its job, and is executed: the claim decides.
5. On a warm stop what is popped and not begun goes back to the front of its queue. After SIGKILL it
   lies in the intermediate list; any other worker puts it back within half a minute or so.
6. It names no `current_job`: there are many, and rq-dashboard (0.9.0) unpickles the one that is named
   whatever it was told of JSON, and then shows no worker at all. `running` says how many there are.
"""

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from rq.serializers import JSONSerializer
from rq.worker import BaseWorker

from generation_service.jobs.model import Backend, JobId
from workers.book import Outcome
from workers.bookkeeping import Bookkeeper
from workers.commands import CommandListener
from workers.names import QUEUES
from workers.payload import Delivery, ForeignEntry
from workers.popping import Popped, Popper, Slots
from workers.redis_connection import Client, connect
from workers.registration import Registration

_log = logging.getLogger(__name__)

_SECOND_SIGNAL_SECONDS = 1.0  # one Ctrl+C often arrives twice: from the terminal and from a supervisor
_RELEASE_SECONDS = 10.0
_CANCEL_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """What a worker calls, always on its event loop.

    `execute` runs a job and never raises (what it raises is logged, and the entry is failed for RQ).
    `on_foreign` records a dead letter; where it raises, the entry stays and comes again.
    `on_stop` cancels a job (`stop-job`). `on_tick` fires the schedules that are due.
    `release_all` gives back what still runs at its last committed step, so that it ends soon.
    """

    execute: Callable[[JobId, Backend], Awaitable[None]]
    on_foreign: Callable[[ForeignEntry], Awaitable[None]]
    on_stop: Callable[[JobId], Coroutine[Any, Any, None]]
    on_tick: Callable[[], Awaitable[None]]
    release_all: Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How a worker works; durations are in seconds.

    `burst`: end when the queues are empty and nothing runs. `heartbeat_seconds` is how old RQ's view
    may get, `stale_seconds` how long a popped id may lie without being started.
    """

    queues: Sequence[str] = QUEUES
    concurrency: int = 16
    burst: bool = False
    shutdown_grace_seconds: float = 20.0
    redis_timeout_seconds: float = 1.0
    heartbeat_seconds: float = 5.0
    stale_seconds: float = 5.0


class ConcurrentWorker(BaseWorker):
    """One process, `options.concurrency` jobs at once; many such processes may work side by side.

    Nothing is sent to Redis before `run`, which does not need Redis to be there: it waits for it.
    """

    def __init__(self, url: str, callbacks: Callbacks, options: WorkerOptions | None = None) -> None:
        self._options = options or WorkerOptions()
        name = f"{socket.gethostname()}.{os.getpid()}.{uuid4().hex[:8]}"
        client = connect(url, timeout_seconds=self._options.redis_timeout_seconds, name=name)
        super().__init__(
            list(self._options.queues),
            name=name,
            connection=client,
            serializer=JSONSerializer,
            prepare_for_work=False,  # that would talk to Redis
        )
        self.hostname, self.pid = socket.gethostname(), os.getpid()
        self._callbacks = callbacks
        self._slots = Slots(self._options.concurrency)
        self._runs: dict[asyncio.Task[None], Popped] = {}
        self._errands: set[asyncio.Task[None]] = set()
        self._stopped_ids: set[str] = set()
        self._stop_asked_at: float | None = None
        self._grace_seconds = self._options.shutdown_grace_seconds
        self._broken: BaseException | None = None
        self._stopping, self._cold, self._idle = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def _set_connection(self, connection: Client) -> Client:
        return connection  # a stock worker makes every call wait for minutes, because it blocks inside Redis

    async def run(self, *, handle_signals: bool = True) -> None:
        """Work until SIGTERM, SIGINT, the `shutdown` command, or the end of a burst.

        Raises what broke one of its threads. `handle_signals` needs the main thread.
        """
        self._begin(asyncio.get_running_loop())
        with self._signals(enabled=handle_signals):
            try:
                await self._stopping.wait()
                await self._drain()
            finally:
                await self._end()
        if self._broken:
            raise self._broken

    @property
    def active(self) -> int:
        """How many deliveries it runs right now."""
        return len(self._runs)

    @property
    def stopping(self) -> bool:
        """Whether it has been asked to stop."""
        return self._stop_asked_at is not None

    def ask_to_stop(self, grace_seconds: float | None = None) -> None:
        """Stop in good order; asked again, more than a second later: at once. Call it on the event loop.

        What runs may go on for `grace_seconds`; None: as the options say.
        """
        now = time.monotonic()
        if self._stop_asked_at is None:
            _log.info("Worker %s stops", self.name, extra={"action": "worker_stopping", "running": len(self._runs)})
            self._stop_asked_at = now
            if grace_seconds is not None:
                self._grace_seconds = grace_seconds
            self._popper.stop()
            self._stopping.set()
        elif now - self._stop_asked_at > _SECOND_SIGNAL_SECONDS:
            self._cold.set()

    def give_up(self, error: BaseException) -> None:
        """Stop in good order, and have `run` raise `error` then. Call it on the event loop."""
        self._broken = self._broken or error
        self.ask_to_stop()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        options, on_broken = self._options, _on(loop, self.give_up)
        registration = Registration(
            self, heartbeat_seconds=options.heartbeat_seconds, stale_seconds=options.stale_seconds
        )
        self._book = Bookkeeper(registration, heartbeat_seconds=options.heartbeat_seconds, on_broken=on_broken)
        self._popper = Popper(
            self.connection,
            options.queues,
            self._slots,
            burst=options.burst,
            hand_over=_on(loop, self._accept),
            on_suspended=self._book.is_suspended,
            on_dry=_on(loop, self.ask_to_stop),
            on_broken=on_broken,
        )
        self._listener = CommandListener(
            self.connection,
            self.pubsub_channel_name,
            on_command=_on(loop, self._obey),
            on_wake=self._popper.wake,
            on_broken=on_broken,
        )
        for thread in (self._book, self._listener, self._popper):
            thread.start()
        _log.info("Worker %s begins", self.name, extra={"action": "worker_started", "queues": list(options.queues)})

    # What runs

    def _accept(self, popped: list[Popped]) -> None:
        deliveries = [one for one in popped if isinstance(one, Delivery)]
        if self._stopping.is_set():
            self._book.returned(deliveries)
            return
        for one in popped:
            task = asyncio.create_task(self._run(one), name=f"rq-{one.rq_id}")
            self._runs[task] = one
            task.add_done_callback(self._ended)
        self._idle.clear()
        self._book.started(deliveries)

    async def _run(self, popped: Popped) -> None:
        if isinstance(popped, ForeignEntry):
            extra = {"action": "foreign_entry", "queue": popped.queue, "reason": popped.reason}
            _log.warning("An entry in RQ is not ours; it is kept as a dead letter and not run", extra=extra)
            await self._callbacks.on_foreign(popped)
        elif popped.job_id is None:
            await self._callbacks.on_tick()
        else:
            await self._callbacks.execute(popped.job_id, "rq")

    def _ended(self, task: asyncio.Task[None]) -> None:
        popped = self._runs.pop(task)
        failed = _report(task)
        if isinstance(popped, Delivery):
            stopped = task.cancelled() or popped.rq_id in self._stopped_ids
            outcome: Outcome = "stopped" if stopped else "failed" if failed else "finished"
            self._stopped_ids.discard(popped.rq_id)
            self._book.ended(popped, outcome)
        elif not failed and not task.cancelled():
            self._book.removed(popped)
        self._slots.give_back()
        if not self._runs:
            self._idle.set()

    # What others ask

    def _obey(self, command: dict[str, Any]) -> None:
        match command:
            case {"command": "shutdown"}:
                self.ask_to_stop()
            case {"command": "stop-job", "job_id": str(rq_id)}:
                for one in self._runs.values():
                    if isinstance(one, Delivery) and one.rq_id == rq_id and one.job_id:
                        self._stopped_ids.add(rq_id)
                        self._errand(self._callbacks.on_stop(one.job_id))
            case _:
                _log.info("A command was ignored: this worker has no such thing", extra={"action": "command_ignored"})

    def _errand(self, call: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(call)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        task.add_done_callback(_report)
        return task

    # The end

    async def _drain(self) -> None:
        await asyncio.to_thread(self._popper.join)
        await self._until_idle(self._grace_seconds)
        if self._runs:
            extra = {"action": "releasing", "running": len(self._runs)}
            _log.info("Jobs that still run are given back at their last step", extra=extra)
            await asyncio.wait({self._errand(self._callbacks.release_all())}, timeout=_RELEASE_SECONDS)
            self._cold.clear()
            await self._until_idle(_CANCEL_SECONDS)
        for task in self._runs:
            task.cancel()
        self._cold.clear()
        await self._until_idle(_CANCEL_SECONDS)

    async def _until_idle(self, timeout_seconds: float) -> None:
        """Wait until nothing runs, or a second signal comes, or the time is over."""
        if not self._runs:
            return
        waits = {asyncio.create_task(event.wait()) for event in (self._idle, self._cold)}
        await asyncio.wait(waits, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _end(self) -> None:
        self._popper.stop()
        await asyncio.to_thread(self._popper.join)
        await asyncio.to_thread(self._listener.stop)
        await asyncio.to_thread(self._book.close, 4 * self._options.redis_timeout_seconds)
        self.connection.close()
        _log.info("Worker %s has ended", self.name, extra={"action": "worker_ended"})

    @contextmanager
    def _signals(self, *, enabled: bool) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        caught = (signal.SIGTERM, signal.SIGINT) if enabled else ()
        for number in caught:
            loop.add_signal_handler(number, self.ask_to_stop)
        try:
            yield
        finally:
            for number in caught:
                loop.remove_signal_handler(number)


def _on(loop: asyncio.AbstractEventLoop, call: Callable[..., None]) -> Callable[..., None]:
    """`call`, for other threads: it runs on the event loop."""

    def schedule(*arguments: object) -> None:
        loop.call_soon_threadsafe(call, *arguments)

    return schedule


def _report(task: asyncio.Task[None]) -> bool:
    """Log what a callback raised; True where it did."""
    error = None if task.cancelled() else task.exception()
    if error:
        _log.error("A callback of the worker failed", exc_info=error, extra={"action": "callback_failed"})
    return error is not None
