"""The row `startup`: how long the API and a worker take to be there, and what they cost while nothing happens."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import psutil

from generation_service.database import Database
from generation_service.errors import ConfigurationError
from generation_service.switching.processes import alive
from scripts.benchmarks.ground import Ground
from scripts.benchmarks.model import Figure, Size
from scripts.benchmarks.running import Running
from scripts.benchmarks.service import Service

READY_GOAL_SECONDS, MEMORY_GOAL_MB, IDLE_GOAL_PERCENT = 3.0, 120.0, 1.0

_MEGABYTE = 1_000_000
_SETTLING_SECONDS = {"full": 5.0, "small": 0.5}  # what a start leaves behind is not what idling costs
_IDLE_SECONDS = {"full": 20.0, "small": 1.0}


@dataclass(frozen=True, slots=True)
class _Case:
    """A process of the service; `beside` is what else runs with it, None: nothing. `judged`: it has goals."""

    role: str
    start: Callable[[Service], Running]
    beside: str | None = None
    judged: bool = True


@dataclass(frozen=True, slots=True)
class _Measured:
    """One start: seconds until it serves; resident memory in MB and use of one core in %, of it and what is beside."""

    ready: float
    memory: float
    idle: float
    memory_beside: float
    idle_beside: float


_CASES = (
    _Case("api", lambda service: service.api(), "supervisor"),
    _Case("worker", lambda service: service.worker()),
    _Case("worker --fork", lambda service: service.worker("--fork"), "template", judged=False),
)


class Startup:
    """Each process starts on a fresh database and an empty Redis: the API, a worker, a forking one.

    What keeps a process, or forks for it, is another process: it is told apart. Memory is resident:
    pages that several processes share count for each.
    """

    name = "startup"
    caption = "start of the API, of a worker; idle"

    def measure(self, ground: Ground, size: Size) -> list[Figure]:
        rounds: defaultdict[tuple[str, str], list[_Measured]] = defaultdict(list)
        missing: dict[str, str] = {}
        cases = [(engine, case) for engine in ground.engines for case in _CASES]
        for number in range(ground.rounds):
            for engine, case in cases:
                if engine in missing:
                    continue
                try:
                    one = _measured(ground, engine, case, size)
                except ConfigurationError as error:
                    missing[engine] = str(error).partition("\n")[0]
                    continue
                rounds[engine, case.role].append(one)
                told = f"{one.ready:.2f} s, {one.memory:.0f} MB, {one.idle:.2f} % idle"
                ground.say(f"round {number + 1}: {case.role}, {engine}: {told}")
        return [
            figure
            for engine, case in cases
            for figure in _figures(engine, case, rounds[engine, case.role], missing.get(engine))
        ]


def _figures(engine: str, case: _Case, rounds: Sequence[_Measured], missing: str | None) -> list[Figure]:
    beside = ("", "")
    if case.beside and rounds:
        memory, idle = median(one.memory_beside for one in rounds), median(one.idle_beside for one in rounds)
        beside = (f"its {case.beside} beside it: {memory:.0f} MB", f"its {case.beside} beside it: {idle:.2f} %")
    return [
        Figure(
            name=f"{case.role}, {engine}: {what}",
            unit=unit,
            better="less",
            rounds=values,
            goal=goal if case.judged else None,
            missing=missing,
            note=note,
        )
        for what, unit, values, goal, note in (
            ("ready", "s", [one.ready for one in rounds], READY_GOAL_SECONDS, ""),
            ("memory", "MB", [one.memory for one in rounds], MEMORY_GOAL_MB, beside[0]),
            ("idle, of one core", "%", [one.idle for one in rounds], IDLE_GOAL_PERCENT, beside[1]),
        )
    ]


def _measured(ground: Ground, engine: str, case: _Case, size: Size) -> _Measured:
    with ground.database(engine) as url, ground.service(url) as service:
        began = time.monotonic()
        running = case.start(service)
        ready = time.monotonic() - began
        time.sleep(_SETTLING_SECONDS[size])
        itself, beside = _told_apart(url, running.family())
        before, since = (_cpu_seconds(itself), _cpu_seconds(beside)), time.monotonic()
        time.sleep(_IDLE_SECONDS[size])
        seconds = time.monotonic() - since
        return _Measured(
            ready=ready,
            memory=_resident_mb(itself),
            idle=100 * (_cpu_seconds(itself) - before[0]) / seconds,
            memory_beside=_resident_mb(beside),
            idle_beside=100 * (_cpu_seconds(beside) - before[1]) / seconds,
        )


def _told_apart(url: str, family: Sequence[psutil.Process]) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """Of these processes those that are the service, which say so in its database, and the others."""
    database = Database(url)
    try:
        serving = {row.pid for row in database.read_now(alive)}
    finally:
        database.close()
    return [one for one in family if one.pid in serving], [one for one in family if one.pid not in serving]


def _cpu_seconds(family: Sequence[psutil.Process]) -> float:
    """What these have used so far, with children that were waited for."""
    each = [one.cpu_times() for one in family]
    return float(sum(one.user + one.system + one.children_user + one.children_system for one in each))


def _resident_mb(family: Sequence[psutil.Process]) -> float:
    return float(sum(one.memory_info().rss for one in family)) / _MEGABYTE


ROW = Startup()
