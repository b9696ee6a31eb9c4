"""Group commit: what several callers of a process have ready is committed together, in one transaction."""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from sqlalchemy import Connection

from generation_service.errors import DatabaseClosed, DatabaseUnavailable

_log = logging.getLogger(__name__)

M = TypeVar("M")
R = TypeVar("R")
T = TypeVar("T")


class _Alone(Enum):
    ALONE = "alone"


ALONE: Final = _Alone.ALONE
"""The answer to a member that must have a transaction of its own: it may have to wait, or take long."""

Answer: TypeAlias = R | Exception | _Alone
Apply: TypeAlias = Callable[[Connection, Sequence[M]], Sequence[Answer[R]]]


class Transactions(Protocol):
    """What a group needs of a database (`Database` writes, its `reads` only read)."""

    def write_now(self, unit: Callable[[Connection], T]) -> T:
        """Run `unit` as one transaction in this thread, again where timing alone was to blame."""

    def write_once_now(self, unit: Callable[[Connection], T]) -> T:
        """Run `unit` as one transaction in this thread."""

    def begin_write(self, call: Callable[..., object], *arguments: Any) -> None:
        """Run `call` on a thread, and wait for nothing. Raises RuntimeError once it is closed."""


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[M, R]):
    member: M
    answer: "asyncio.Future[R]"
    loop: asyncio.AbstractEventLoop


class Grouped(Generic[M, R]):
    """Gathers members while a transaction is under way and commits them in the next, first come, first served.

    `apply` writes all members it is given and returns an answer for each, in their order: a result,
    an exception that is that member's own (then it has written nothing for it), or ALONE. Where the
    transaction fails, each member runs again in one of its own, so that none is harmed by another;
    `apply` with a single member waits for locks as long as it must, and never answers ALONE. As any
    unit of work it may run more than once. A member whose caller was cancelled before its turn is left out.
    `abreast` groups may be under way at a time; with more than one, members need not be committed in their order.
    While members come close together, groups begin `pace_seconds` apart at least: a few large ones cost less than
    many small ones. Whoever comes alone waits for nobody.
    """

    def __init__(
        self,
        database: Transactions,
        apply: Apply[M, R],
        *,
        most: int = 128,
        abreast: int = 1,
        pace_seconds: float = 0.0,
    ) -> None:
        self._database = database
        self._apply = apply
        self._most = most
        self._abreast = abreast
        self._pace_seconds = pace_seconds
        self._next_at = 0.0  # monotonic: no group takes its members before
        self._pending: deque[_Waiting[M, R]] = deque()
        self._under_way = 0  # groups
        self._gathering = False  # one of these has not taken its members yet
        self._lock = threading.Lock()

    def add(self, member: M) -> "asyncio.Future[R]":
        """Commit `member`, with others where there are any; its own answer, to be awaited on the running loop.

        It raises DatabaseUnavailable where the database does not answer: then whether it was committed is unknown.
        """
        loop = asyncio.get_running_loop()
        waiting: _Waiting[M, R] = _Waiting(member, loop.create_future(), loop)
        with self._lock:
            self._pending.append(waiting)
            begins = self._may_begin()
        if begins:
            # Once whoever is ready in this turn of the loop has added what it has.
            loop.call_soon(self._begin)
        return waiting.answer

    def _may_begin(self) -> bool:
        """Whether another group is to begin, which then counts as begun; under the lock."""
        if self._gathering or not self._pending or self._under_way >= self._abreast:
            return False
        self._under_way += 1
        self._gathering = True
        return True

    def _begin(self) -> None:
        """Have a group committed, in its time; from any thread."""
        pause = self._next_at - time.monotonic()
        if pause > 0:
            # A thread of its own: what writes to SQLite is one thread, and others need it meanwhile.
            with contextlib.suppress(RuntimeError):  # no thread is to be had: then without a pause
                threading.Timer(pause, self._begin_now).start()
                return
        self._begin_now()

    def _begin_now(self) -> None:
        try:
            self._database.begin_write(self._commit_next)
        except RuntimeError:  # it was closed: nobody may wait for ever
            with self._lock:
                left, self._pending = self._pending, deque()
                self._under_way, self._gathering = self._under_way - 1, False
            self._answer(left, [_closed() for _ in left])

    def _commit_next(self) -> None:
        """Commit one group, on a thread; the next one takes its turn behind other writers of this process."""
        with self._lock:
            taken = [self._pending.popleft() for _ in range(min(len(self._pending), self._most))]
            self._gathering = False
            self._next_at = time.monotonic() + self._pace_seconds if len(taken) > 1 else 0.0
        group = [one for one in taken if not one.answer.cancelled()]
        try:
            if group:
                self._answer(group, self._committed([one.member for one in group]))
        finally:
            with self._lock:
                self._under_way -= 1
                begins = self._may_begin()
            if begins:
                self._begin()

    def _committed(self, members: Sequence[M]) -> Sequence[Answer[R]]:
        if len(members) == 1:
            return [self._committed_alone(members[0])]
        try:
            answers = self._database.write_once_now(lambda connection: self._apply(connection, members))
            _check_answers(members, answers)
        except DatabaseUnavailable as error:
            return [DatabaseUnavailable(*error.args) for _ in members]
        except Exception:  # noqa: BLE001 - whose it is shows when each runs alone, and is raised to that one
            _log.info("A group of %d is committed one by one", len(members), extra={"action": "group_parted"})
            return [ALONE] * len(members)
        return answers

    def _committed_alone(self, member: M) -> Answer[R]:
        try:
            return self._database.write_now(lambda connection: self._apply(connection, [member]))[0]
        except Exception as error:  # noqa: BLE001 - it is raised to whoever waits for it
            return error

    def _answer(self, group: Sequence[_Waiting[M, R]], answers: Sequence[Answer[R]]) -> None:
        answered: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[R], R | Exception]]] = {}
        for waiting, answer in zip(group, answers, strict=True):
            own: R | Exception
            if answer is ALONE:
                try:
                    self._database.begin_write(self._run_alone, waiting)
                    continue
                except RuntimeError:  # it was closed meanwhile: all the others have their answers all the same
                    own = _closed()
            else:
                own = answer
            answered.setdefault(waiting.loop, []).append((waiting.answer, own))
        for loop, pairs in answered.items():
            _tell(loop, pairs)

    def _run_alone(self, waiting: _Waiting[M, R]) -> None:
        answer = self._committed_alone(waiting.member)
        if answer is ALONE:
            answer = RuntimeError("a member that runs alone needs an answer")
        _tell(waiting.loop, [(waiting.answer, answer)])


def _check_answers(members: Sequence[object], answers: Sequence[object]) -> None:
    if len(answers) != len(members):
        raise ValueError(f"{len(members)} members need an answer each, not {len(answers)} answers")


def _closed() -> DatabaseClosed:
    return DatabaseClosed("the database is closed")


def _tell(loop: asyncio.AbstractEventLoop, answered: Sequence[tuple["asyncio.Future[R]", R | Exception]]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(_settle, answered)


def _settle(answered: Sequence[tuple["asyncio.Future[R]", R | Exception]]) -> None:
    for waiter, answer in answered:
        if waiter.done():  # cancelled meanwhile
            continue
        if isinstance(answer, Exception):
            waiter.set_exception(answer)
        else:
            waiter.set_result(answer)
