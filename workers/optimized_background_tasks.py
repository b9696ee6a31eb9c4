"""Background tasks of the API with a bound: what follows an answer never piles up, and never stands in its way.

Starlette's own run one after another, one that raises ends the rest, and plain functions take the
threads that endpoints need. These run side by side, as many as their pool allows: coroutine functions
on the event loop, plain functions in threads of the pool's own; what does not fit waits, and is counted.
"""

import asyncio
import contextvars
import functools
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec

from fastapi import BackgroundTasks
from starlette.background import BackgroundTask

_log = logging.getLogger(__name__)

P = ParamSpec("P")

CONCURRENCY = 64
THREADS = 4


class TaskPool:
    """The bounds that the background tasks of one process share, and how full they are.

    `concurrency` coroutine functions run at once, and `threads` plain functions. It belongs to one event loop.
    """

    def __init__(self, *, concurrency: int = CONCURRENCY, threads: int = THREADS) -> None:
        self.concurrency = concurrency
        self.threads = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="after-answer")
        self._on_the_loop = asyncio.Semaphore(concurrency)
        self._in_threads = asyncio.Semaphore(threads)
        self._active = 0
        self._waiting = 0

    @property
    def active(self) -> int:
        """How many tasks run right now."""
        return self._active

    @property
    def waiting(self) -> int:
        """How many tasks wait for their turn."""
        return self._waiting

    async def run(self, task: BackgroundTask) -> None:
        """Run one task once there is room for it. What it raises is logged: nobody is left to be told."""
        room = self._on_the_loop if task.is_async else self._in_threads
        self._waiting += 1
        try:
            await room.acquire()
        finally:
            self._waiting -= 1
        self._active += 1
        try:
            await self._call(task)
        finally:
            self._active -= 1
            room.release()

    def close(self) -> None:
        """End the threads once what they run has ended."""
        self._executor.shutdown(wait=True)

    async def _call(self, task: BackgroundTask) -> None:
        call = functools.partial(task.func, *task.args, **task.kwargs)
        try:
            if task.is_async:
                await call()
            else:
                context = contextvars.copy_context()  # its log lines belong to the request
                await asyncio.get_running_loop().run_in_executor(self._executor, context.run, call)
        except Exception:  # noqa: BLE001 - the boundary: one task's failure must not keep others from running
            _log.exception("A background task failed", extra={"action": "background_task_failed"})


class OptimizedBackgroundTasks(BackgroundTasks):
    """What is to be done after an answer, within the bounds of `pool`; without one it has a pool of its own."""

    def __init__(self, tasks: Sequence[BackgroundTask] | None = None, *, pool: TaskPool | None = None) -> None:
        super().__init__(tasks)
        self._pool = pool or TaskPool()

    def add_task(self, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        """Have `func` called after the answer, beside the others; nothing is started before."""
        super().add_task(func, *args, **kwargs)

    async def __call__(self) -> None:
        """Run the tasks; returns when all have ended."""
        await asyncio.gather(*(self._pool.run(task) for task in self.tasks))
