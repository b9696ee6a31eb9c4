"""The template of a forking worker: a process with everything imported that does nothing but fork, one child a run.

It has no thread, no event loop and no connection, so that a fork copies none in the midst of something.
What is asked of it comes through a socket, as lines of JSON: {"run": number, ...}, {"release": number},
{"kill": number}; and so does what it tells: {"ready": true}, {"ended": number, "code": exit code}. Once
whoever asks is gone, so are the template and its children: their end is the kernel's business.
"""

import gc
import json
import logging
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from generation_service.cli.leash import hold_on_to

_log = logging.getLogger(__name__)

RELEASE = signal.SIGUSR1
"""Asks a child to give its job back; blocked until the child can take it."""

NOT_FORKED = "not_forked"  # in place of an exit code: the system has no room for another process

_ASKED_BY_OTHERS = (signal.SIGTERM, signal.SIGINT)  # of a terminal or a supervisor: their worker decides, not they
_MOST_BYTES = 65536

Body = Callable[[Mapping[str, Any]], None]
"""What a child does with the request that it was forked for; it begins with one thread, this one."""


class Template:
    """Forks children that run `body`, and tells of their ends, for as long as `channel` is open at its other end."""

    def __init__(self, channel: socket.socket, body: Body) -> None:
        self._channel = channel
        self._body = body
        self._children: dict[int, int] = {}  # number of the run -> process id
        self._received = b""
        self._woken, self._waking = socket.socketpair()

    def serve(self) -> None:
        """Serve until the other end is closed; then end what still runs."""
        self._prepare()
        self._tell({"ready": True})
        try:
            while self._turn():
                pass
        finally:
            for number in self._children:
                self._signal(number, signal.SIGKILL)

    def _prepare(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [RELEASE])
        for number in _ASKED_BY_OTHERS:
            signal.signal(number, _hear_nothing)  # not ignored: programs that a child starts would ignore it, too
        signal.signal(signal.SIGCHLD, _hear_nothing)
        for end in (self._woken, self._waking):
            end.settimeout(0)
        signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)
        gc.collect()
        gc.freeze()  # what is there now is looked at by no collection: its pages stay shared with the children

    def _turn(self) -> bool:
        """Wait for something and answer it; False where nobody asks any more."""
        readable, _, _ = select.select([self._channel, self._woken], [], [])
        if self._woken in readable:
            with suppress(BlockingIOError):
                self._woken.recv(_MOST_BYTES)
        self._reap()
        if self._channel not in readable:
            return True
        try:
            received = self._channel.recv(_MOST_BYTES)
        except OSError:
            return False
        *lines, self._received = (self._received + received).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return bool(received)

    def _obey(self, asked: Mapping[str, Any]) -> None:
        match asked:
            case {"run": int(number)}:
                self._fork(number, asked)
            case {"release": int(number)}:
                self._signal(number, RELEASE)
            case {"kill": int(number)}:
                self._signal(number, signal.SIGKILL)

    def _fork(self, number: int, asked: Mapping[str, Any]) -> None:
        template = os.getpid()
        try:
            child = os.fork()
        except OSError:
            _log.exception("No child could be forked", extra={"action": "not_forked"})
            self._tell({"ended": number, "code": NOT_FORKED})
            return
        if child == 0:
            self._be_child(template, asked)
        self._children[number] = child

    def _be_child(self, template: int, asked: Mapping[str, Any]) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            hold_on_to(template)
            for end in (self._channel, self._woken, self._waking):
                end.close()
            self._body(asked)
            code = 0
        except BaseException:  # noqa: BLE001 - the end of a process: its exit code says the rest
            _log.exception("A run's process failed", extra={"action": "child_failed"})
        finally:
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    stream.flush()
            os._exit(code)  # what the template would do at its end is not the child's to do

    def _signal(self, number: int, signal_number: signal.Signals) -> None:
        # Its number is still its own: what has ended and was not reaped keeps it.
        if child := self._children.get(number):
            os.kill(child, signal_number)

    def _reap(self) -> None:
        for number, child in list(self._children.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                del self._children[number]
                self._tell({"ended": number, "code": os.waitstatus_to_exitcode(status)})

    def _tell(self, what: Mapping[str, Any]) -> None:
        with suppress(OSError):  # whoever asked is gone: the next turn finds out
            self._channel.sendall(json.dumps(what).encode() + b"\n")


def _hear_nothing(_number: int, _frame: object) -> None:
    """Only wake up."""
