"""The row `startup`: how long the API and a worker take to be there, and what they cost while nothing happens."""

import time
from collections import defaultdict
from collections.abc import Callable

from generation_service.errors import ConfigurationError
from scripts.benchmarks.ground import Ground
from scripts.benchmarks.model import Figure, Size
from scripts.benchmarks.running import Running
from scripts.benchmarks.service import Service

READY_GOAL_SECONDS, MEMORY_GOAL_MB, IDLE_GOAL_PERCENT = 3.0, 120.0, 1.0

_SETTLING_SECONDS = {"full": 5.0, "small": 0.5}  # what a start leaves behind is not what idling costs
_IDLE_SECONDS = {"full": 20.0, "small": 1.0}
_CASES: tuple[tuple[str, Callable[[Service], Running]], ...] = (
    ("api", lambda service: service.api()),
    ("worker", lambda service: service.worker()),
    ("worker --fork", lambda service: service.worker("--fork")),
)


class Startup:
    """Each process starts on a fresh database and an empty Redis: the API with its supervisor, a worker, a forking one.

    Memory is proportional: pages that several processes share are divided among them.
    """

    name = "startup"
    caption = "start of the API, of a worker; idle"

    def measure(self, ground: Ground, size: Size) -> list[Figure]:
        ready: defaultdict[str, list[float]] = defaultdict(list)
        memory: defaultdict[str, list[float]] = defaultdict(list)
        idle: defaultdict[str, list[float]] = defaultdict(list)
        missing: dict[str, str] = {}
        cases = [(f"{role}, {engine}", role, engine, start) for engine in ground.engines for role, start in _CASES]
        for number in range(ground.rounds):
            for name, _, engine, start in cases:
                if engine in missing:
                    continue
                try:
                    seconds, megabytes, percent = _measured(ground, engine, start, size)
                except ConfigurationError as error:
                    missing[engine] = str(error).partition("\n")[0]
                    continue
                ready[name].append(seconds)
                memory[name].append(megabytes)
                idle[name].append(percent)
                ground.say(f"round {number + 1}: {name}: {seconds:.2f} s, {megabytes:.0f} MB, {percent:.2f} % idle")
        figures: list[Figure] = []
        for name, role, engine, _ in cases:
            judged = role != "worker --fork"  # two processes instead of one: it is told, not promised
            for what, unit, rounds, goal in (
                ("ready", "s", ready[name], READY_GOAL_SECONDS),
                ("memory", "MB", memory[name], MEMORY_GOAL_MB),
                ("idle, of one core", "%", idle[name], IDLE_GOAL_PERCENT),
            ):
                figures.append(
                    Figure(
                        name=f"{name}: {what}",
                        unit=unit,
                        better="less",
                        rounds=rounds,
                        goal=goal if judged else None,
                        missing=missing.get(engine),
                    )
                )
        return figures


def _measured(
    ground: Ground, engine: str, start: Callable[[Service], Running], size: Size
) -> tuple[float, float, float]:
    """Seconds until it serves, its memory in MB, and what it uses of one core in % while nothing happens."""
    with ground.database(engine) as url, ground.service(url) as service:
        began = time.monotonic()
        running = start(service)
        seconds = time.monotonic() - began
        time.sleep(_SETTLING_SECONDS[size])
        used, since = running.cpu_seconds(), time.monotonic()
        time.sleep(_IDLE_SECONDS[size])
        percent = 100 * (running.cpu_seconds() - used) / (time.monotonic() - since)
        return seconds, running.pss_mb(), percent


ROW = Startup()
