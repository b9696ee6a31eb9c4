"""The row `throughput`: whole jobs a second of one worker process, against RQ doing nothing and DBOS's empty steps."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from subprocess import SubprocessError

from generation_service.errors import ConfigurationError
from scripts.benchmarks.ground import Ground
from scripts.benchmarks.model import Figure, Size
from scripts.benchmarks.peers import dbos_steps, rq_noop
from scripts.benchmarks.work import submit, wait_until_ended

RQ_GOAL, DBOS_GOAL = 3.0, 6.0

_SLOTS = 256
_MOST_SECONDS = 600.0
_STEADY_SECONDS = 5.0  # what one round is to take about: a start's first second does not decide then
_TRIAL_JOBS, _FEWEST_JOBS, _MOST_JOBS = 64, 128, 1500
_RQ_JOBS, _DBOS_WORKFLOWS = 200, 200
_SMALL_JOBS = 8

Rounds = defaultdict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Run:
    """What one worker process did: whole jobs a second, and its processor time for each of them in ms."""

    per_second: float
    cpu_ms: float


class Throughput:
    """Jobs of the recipe `script`, offline and without documents, submitted before the one worker starts.

    From the first claim to the last ending, as the database tells. What the worker spends is counted from
    where it takes jobs: its start is another row's.
    """

    name = "throughput"
    caption = "whole jobs a second, durable, one worker process"

    def measure(self, ground: Ground, size: Size) -> list[Figure]:
        missing: dict[str, str] = {}
        counts = {engine: _count(ground, engine, size, missing) for engine in ground.engines}
        rounds = no_rounds()
        for number in range(ground.rounds):
            ground.say(f"round {number + 1} of {ground.rounds}")
            _round(ground, size, {engine: count for engine, count in counts.items() if count}, rounds)
        return [*_against_rq(ground.engines, rounds, missing), *against_dbos(ground.engines, rounds, missing)]


def no_rounds() -> Rounds:
    """What was measured so far, by contestant: nothing."""
    return defaultdict(list)


def run(ground: Ground, engine: str, count: int) -> Run:
    """Let one worker do `count` jobs. Raises RuntimeError where one of them did not complete."""
    with ground.database(engine) as url, ground.service(url, WORKER_CONCURRENCY=str(_SLOTS)) as service:
        submit(service, count)
        worker = service.worker()
        before = worker.cpu_seconds()
        span = wait_until_ended(service, worker, count, seconds=_MOST_SECONDS)
        spent = worker.cpu_seconds() - before
    if span.completed < count:
        raise RuntimeError(f"{span.completed} of {count} jobs completed")
    ground.say(f"{engine}: {count} jobs, {span.per_second:.0f} a second")
    return Run(span.per_second, 1000 * spent / count)


def _count(ground: Ground, engine: str, size: Size, missing: dict[str, str]) -> int:
    """How many jobs one round takes, from what a short trial does; 0 where the engine is not to be had."""
    try:
        if size == "small":
            with ground.database(engine):
                return _SMALL_JOBS
        trial = run(ground, engine, _TRIAL_JOBS)
    except ConfigurationError as error:
        missing[engine] = str(error).partition("\n")[0]
        return 0
    return min(max(int(trial.per_second * _STEADY_SECONDS), _FEWEST_JOBS), _MOST_JOBS)


def _round(ground: Ground, size: Size, counts: Mapping[str, int], rounds: Rounds) -> None:
    """Each contestant once: ours and the peers take turns, so that a slow minute of the machine is everybody's."""
    rounds["rq"].append(rq_noop.per_second(ground, _SMALL_JOBS if size == "small" else _RQ_JOBS))
    ground.say(f"{rq_noop.PEER}: {rounds['rq'][-1]:.0f} a second")
    for engine, count in counts.items():
        ours = run(ground, engine, count)
        rounds[engine].append(ours.per_second)
        rounds[f"{engine} cpu"].append(ours.cpu_ms)
    if "postgresql" in counts and dbos_steps.is_installed():
        _dbos(ground, _SMALL_JOBS if size == "small" else _DBOS_WORKFLOWS, rounds)


def _dbos(ground: Ground, count: int, rounds: Rounds) -> None:
    for way in dbos_steps.WAYS:
        try:
            rounds[f"dbos {way}"].append(dbos_steps.per_second(ground, count, way))
        except SubprocessError as error:
            ground.say(f"{dbos_steps.PEER} ({way}) failed: {error}")
            continue
        ground.say(f"{dbos_steps.PEER} ({way}): {rounds[f'dbos {way}'][-1]:.0f} a second")


def _against_rq(engines: Sequence[str], rounds: Rounds, missing: Mapping[str, str]) -> list[Figure]:
    figures: list[Figure] = []
    for engine in engines:
        figures += [
            Figure(
                name=f"whole jobs a second, {engine}",
                unit="jobs/s",
                better="more",
                rounds=rounds[engine],
                goal=RQ_GOAL,
                peer=rq_noop.PEER,
                peer_rounds=rounds["rq"],
                missing=missing.get(engine),
                note=f"{_SLOTS} slots",
            ),
            Figure(
                name=f"processor time of a job, {engine}",
                unit="ms",
                better="less",
                rounds=rounds[f"{engine} cpu"],
                missing=missing.get(engine),
            ),
        ]
    return figures


def against_dbos(engines: Sequence[str], rounds: Rounds, missing: Mapping[str, str]) -> list[Figure]:
    """The figure against DBOS, which needs PostgreSQL; it says where DBOS is not installed."""
    if "postgresql" not in engines:
        return []
    way = max(dbos_steps.WAYS, key=lambda one: median(rounds[f"dbos {one}"] or [0.0]))
    absent = None if dbos_steps.is_installed() else "dbos is not installed (extra `bench`)"
    failed = None if rounds[f"dbos {way}"] or not rounds["postgresql"] else "dbos failed"
    return [
        Figure(
            name="whole jobs a second, postgresql, against DBOS",
            unit="jobs/s",
            better="more",
            rounds=rounds["postgresql"],
            goal=DBOS_GOAL,
            peer=dbos_steps.PEER,
            peer_rounds=rounds[f"dbos {way}"],
            missing=missing.get("postgresql") or absent or failed,
            note="" if absent or failed else _both_ways(rounds, way),
        )
    ]


def _both_ways(rounds: Rounds, chosen: str) -> str:
    """What DBOS did in each way: the faster one is the peer."""
    found = {way: rounds[f"dbos {way}"] for way in dbos_steps.WAYS}
    each = ", ".join(f"{median(seen):.1f} a second by its {way}" for way, seen in found.items() if seen)
    return f"{_SLOTS} slots; DBOS by its {chosen}: {each}"


ROW = Throughput()
