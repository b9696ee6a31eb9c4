"""Runs of a forking worker: each delivery goes to a child of the template, and is accounted for, however it ends."""

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any, Self

from generation_service.database import Database
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs.model import Backend, JobId
from generation_service.jobs.recovery import write_off

_log = logging.getLogger(__name__)

PROGRAM: Sequence[str] = ("-P", "-m", "generation_service.cli.worker_child")  # by its name: it must not be loaded here

_READY_SECONDS = 60.0
_END_SECONDS = 5.0
_GONE = "gone"  # in place of an exit code: the template has ended, and its children with it


class TemplateLost(RuntimeError):
    """The template has ended: this worker can run nothing more."""


class Forks:
    """A template process and the runs of its children; a context, begun before there is anything else.

    `on_lost` hears where the template ends by itself: then every run ends, and none can begin.
    """

    def __init__(self, *, longest_seconds: float, program: Sequence[str] = PROGRAM) -> None:
        self._longest_seconds = longest_seconds
        self._program = program
        self._numbers = count(1)
        self._ended: dict[int, asyncio.Future[int | str]] = {}
        self._closing = False
        self._on_lost: Callable[[BaseException], None] = _ignore

    async def __aenter__(self) -> Self:
        self._ready = asyncio.get_running_loop().create_future()
        mine, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, *self._program, str(theirs.fileno()), str(os.getpid())]
            self._template = subprocess.Popen(  # noqa: S603, ASYNC220 - our own program, and nothing else runs yet
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )
        self._reader, self._writer = await asyncio.open_connection(sock=mine)
        self._listening = asyncio.create_task(self._listen(), name="worker-template")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._writer.close()  # the template ends its children, and itself
        try:
            await asyncio.to_thread(self._template.wait, _END_SECONDS)
        except subprocess.TimeoutExpired:
            self._template.kill()
            await asyncio.to_thread(self._template.wait)
        await self._listening

    @property
    def template_pid(self) -> int:
        return self._template.pid

    async def begin(self, database: Database, process: str, on_lost: Callable[[BaseException], None]) -> None:
        """Wait until the template can fork; `process` is the name of this one, and begins those of its children.

        Raises TemplateLost.
        """
        async with asyncio.timeout(_READY_SECONDS):
            await self._ready
        self._database, self._process, self._on_lost = database, process, on_lost

    async def execute(self, job_id: JobId, backend: Backend) -> None:  # noqa: ARG002 - as a worker calls it
        """Have a child claim this job and run it. One that dies in the midst of it leaves it to recovery, at once."""
        if self._writer.is_closing():
            raise TemplateLost("the template has ended")
        number = next(self._numbers)
        process = f"{self._process}.{number}"
        ended = self._ended[number] = asyncio.get_running_loop().create_future()
        self._ask({"run": number, "job_id": job_id, "process": process})
        code: int | str = _GONE
        try:
            code = await self._outcome(number, ended)
        except asyncio.CancelledError:
            self._ask({"kill": number})
            await asyncio.wait({ended}, timeout=_END_SECONDS)
            raise
        finally:
            self._ended.pop(number, None)
            if code != 0:
                await self._write_off(job_id, process, code)

    async def release_all(self) -> None:
        """Ask every child to give its job back at its last committed step."""
        for number in self._ended:
            self._ask({"release": number})

    async def _outcome(self, number: int, ended: "asyncio.Future[int | str]") -> int | str:
        """A child's exit code; one that is stuck, and so hears of no time-out of its own, is killed."""
        try:
            async with asyncio.timeout(self._longest_seconds):
                return await asyncio.shield(ended)
        except TimeoutError:
            self._ask({"kill": number})
            return await asyncio.shield(ended)

    async def _write_off(self, job_id: JobId, process: str, code: int | str) -> None:
        with suppress(DatabaseUnavailable):  # then the lease runs out by itself
            held = await self._database.write(partial(write_off, process=process))
            extra = {"action": "child_ended", "job_id": job_id, "exit_code": code, "held": held}
            _log.warning("The process of job %s ended with %s", job_id, code, extra=extra)

    def _ask(self, what: Mapping[str, Any]) -> None:
        if not self._writer.is_closing():
            self._writer.write(json.dumps(what).encode() + b"\n")

    async def _listen(self) -> None:
        with suppress(ConnectionError):
            while line := await self._reader.readline():
                self._hear(json.loads(line))
        self._lose()

    def _hear(self, said: Mapping[str, Any]) -> None:
        match said:
            case {"ready": True}:
                _settle(self._ready, None)
            case {"ended": int(number), "code": code} if number in self._ended:
                _settle(self._ended[number], code)

    def _lose(self) -> None:
        self._writer.close()
        for ended in self._ended.values():
            _settle(ended, _GONE)
        if self._closing:
            return
        lost = TemplateLost("the template of this worker has ended")
        if not self._ready.done():
            self._ready.set_exception(lost)
        self._on_lost(lost)


def _settle(waiting: "asyncio.Future[Any]", value: object) -> None:
    if not waiting.done():
        waiting.set_result(value)


def _ignore(_: BaseException) -> None:
    """Nobody is there yet who could hear of it; whoever waits for the template is told."""
