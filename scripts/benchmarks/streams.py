"""The row of event streams: from the commit of an event to each of a thousand readers, and what holding them takes."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any, Self, cast

from sqlalchemy import Connection, update

from generation_service.database import Database, db_now
from generation_service.database.tables import jobs
from generation_service.jobs.ids import new_job_id
from generation_service.jobs.model import NewJob
from generation_service.jobs.submission import Admission, submit_batch
from scripts.benchmarks.ground import Ground
from scripts.benchmarks.model import Figure, Size
from scripts.benchmarks.running import Running
from scripts.benchmarks.streams_plan import Plan
from scripts.benchmarks.streams_reader import Outcome

_P99_MILLISECONDS = 150.0
_MEGABYTES = 500.0
_END_SECONDS = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """So many streams over so many jobs, which write so many events a second in all; how the API is woken."""

    jobs: int
    rate: float
    readers: int = 1_000
    seconds: float = 10.0
    redis: bool = True

    def label(self, engine: str) -> str:
        """What figures of it are called."""
        woken = "" if self.redis else ", no Redis"
        each = "1 job" if self.jobs == 1 else f"{self.jobs:,} jobs"
        return f"{self.readers:,} streams on {each}, {self.rate:g} events/s, {engine}{woken}"

    @property
    def events(self) -> int:
        """How many events it writes: the same number for each job."""
        return max(1, int(self.rate * self.seconds) // self.jobs) * self.jobs


# A running job writes at most ten times a second; a thousand who watch it make ten thousand messages of that.
_FULL = (
    Case(jobs=1_000, rate=500),
    Case(jobs=100, rate=500),
    Case(jobs=1, rate=10),
    Case(jobs=1_000, rate=500, redis=False),
)
_SMALL = (Case(jobs=10, rate=50, readers=20, seconds=1.0), Case(jobs=10, rate=50, readers=20, seconds=1.0, redis=False))


@dataclass(slots=True)
class Rounds:
    """What each round of a case found."""

    outcomes: list[Outcome] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    kilobytes_a_stream: list[float] = field(default_factory=list)
    processor_percent: list[float] = field(default_factory=list)
    milliseconds_each: list[float] = field(default_factory=list)
    written_a_second: list[float] = field(default_factory=list)


class Streams:
    """Measures open event streams on one API process."""

    name = "streams"
    caption = "1,000 open streams on one API process"

    def measure(self, ground: Ground, size: Size) -> list[Figure]:
        """Measure every case on every engine."""
        figures: list[Figure] = []
        for engine in ground.engines:
            for case in _FULL if size == "full" else _SMALL:
                ground.say(case.label(engine))
                rounds = Rounds()
                for _ in range(ground.rounds if case.redis else 1):
                    self._round(ground, engine, case, rounds)
                figures += _figures(case.label(engine), rounds)
        return figures

    def _round(self, ground: Ground, engine: str, case: Case, rounds: Rounds) -> None:
        with ground.database(engine) as database_url:
            switch = {} if case.redis else {"WORKER_SYSTEM_ENABLED": "false"}
            with ground.service(database_url, LOG_LEVEL="warning", **switch) as service:
                api = service.api()
                plan = Plan(
                    url=service.url,
                    database_url=database_url,
                    redis_url=ground.redis_url if case.redis else None,
                    jobs=running_jobs(database_url, case.jobs),
                    readers=case.readers,
                    rate=case.rate,
                    events=case.events,
                    commits=service.folder / "commits.json",
                )
                _run(plan, api, rounds)


def running_jobs(database_url: str, count: int) -> Sequence[str]:
    """Accept jobs and let them look as if a worker had them for an hour."""
    wanted = [
        NewJob(kind="generation", user_id="local", request={"episode_data": {"title": "하나"}}, recipe="script", id=one)
        for one in (new_job_id() for _ in range(count))
    ]
    admission = Admission(max_live=1_000_000, max_live_per_user=1_000_000, max_attempts=4, largest_batch=count)

    def unit(connection: Connection) -> list[str]:
        accepted = [job.id for job in submit_batch(connection, wanted, admission)]
        held = {"status": "running", "holder": "benchmark", "lease_until": db_now(3600), "fence": 1, "claims": 1}
        connection.execute(update(jobs).values(**held))
        return [*accepted]

    database = Database(database_url)
    try:
        return database.write_now(unit)
    finally:
        database.close()


def _run(plan: Plan, api: Running, rounds: Rounds) -> None:
    before = api.rss_mb()
    with _Child("scripts.benchmarks.streams_reader", plan) as reader:
        said = reader.line()
        if said != "open":
            raise RuntimeError(f"the streams did not open; the reader said: {said}")
        rounds.kilobytes_a_stream.append(round((api.rss_mb() - before) * 1000 / plan.readers, 1))
        used = api.cpu_seconds()
        with _Child("scripts.benchmarks.streams_writer", plan) as writer:
            if writer.process.wait(_END_SECONDS):
                raise RuntimeError("the writer failed")
        outcome = Outcome(**json.loads(reader.line()))
    commits = json.loads(plan.commits.read_text(encoding="utf-8"))
    took = max(commits[-1] - commits[0], 0.001)
    used = api.cpu_seconds() - used
    rounds.outcomes.append(outcome)
    rounds.processor_percent.append(round(100 * used / took, 1))
    rounds.milliseconds_each.append(round(1000 * used / max(outcome.received, 1), 3))
    rounds.written_a_second.append(round(plan.events / took, 1))
    rounds.megabytes.append(round(api.rss_mb(), 1))


class _Child:
    """One of the two processes of a round, which runs a plan."""

    def __init__(self, module: str, plan: Plan) -> None:
        with tempfile.TemporaryFile("w+") as given:  # a plan of a thousand jobs is longer than a pipe
            given.write(plan.text())
            given.seek(0)
            command = [sys.executable, "-m", module]
            self.process = subprocess.Popen(command, stdin=given, stdout=subprocess.PIPE, text=True)  # noqa: S603 - a module of this project

    def line(self) -> str:
        """The next line that it says."""
        return cast("IO[str]", self.process.stdout).readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        cast("IO[str]", self.process.stdout).close()


def _figures(label: str, rounds: Rounds) -> list[Figure]:
    outcomes = rounds.outcomes
    said: dict[str, Any] = {
        "written/s": rounds.written_a_second,
        "processor %": rounds.processor_percent,
        "processor ms for each event of each reader": rounds.milliseconds_each,
        "p50 ms": [one.percentile(0.5) for one in outcomes],
        "KB a stream": rounds.kilobytes_a_stream,
        "s to open all": [one.open_seconds for one in outcomes],
        "ended early": [one.ended_early for one in outcomes],
    }
    note = "; ".join(f"{name} {', '.join(f'{one:g}' for one in values)}" for name, values in said.items())
    p99 = [round(one.percentile(0.99), 1) for one in outcomes]
    missed = [float(one.missed) for one in outcomes]
    figure = partial(Figure, better="less")
    return [
        figure(name=f"commit to reader, p99, {label}", unit="ms", rounds=p99, goal=_P99_MILLISECONDS, note=note),
        figure(name=f"events missed, {label}", unit="events", rounds=missed, goal=0.0),
        figure(name=f"memory of the API, {label}", unit="MB", rounds=rounds.megabytes, goal=_MEGABYTES),
    ]


ROW = Streams()
