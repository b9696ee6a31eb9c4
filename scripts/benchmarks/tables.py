"""The row of large tables: what five operations take among a million jobs, and among a thousand."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import TypeAlias

from sqlalchemy import Connection, select

from generation_service.api.admin import figures
from generation_service.api.listing import steps_of
from generation_service.bootstrap import Runtime
from generation_service.database.tables import jobs
from generation_service.errors import ConfigurationError
from generation_service.jobs.event_log import EventLogs
from generation_service.jobs.model import JobId, NewJob
from generation_service.jobs.queries import JobFilter
from scripts.benchmarks.ground import Ground
from scripts.benchmarks.model import Figure, Size
from scripts.benchmarks.tables_fill import OWNER, Past, fill

_MOST_TIMES = 1.5
_WARM_UP = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """How large the two pasts are, and how often each operation is timed in a round."""

    large: Past
    small: Past
    repeats: int

    def called(self, operation: str, engine: str) -> str:
        return f"{operation}, {self.large.jobs:,} jobs with {self.large.jobs * self.large.events:,} events, {engine}"


_CASES: Mapping[Size, Case] = {
    "full": Case(large=Past(jobs=1_000_000), small=Past(jobs=1_000), repeats=60),
    "small": Case(large=Past(jobs=5_000), small=Past(jobs=1_000), repeats=5),
}


class Tables:
    """Measures what grows with the number of jobs there ever were, and what does not."""

    name = "tables"
    caption = "1,000,000 job rows and 10,000,000 events"

    def measure(self, ground: Ground, size: Size) -> list[Figure]:
        """Measure every operation on every engine, in turns among many jobs and among few."""
        case = _CASES[size]
        figures: list[Figure] = []
        for engine in ground.engines:
            try:
                rounds = asyncio.run(_compare(ground, engine, case))
            except ConfigurationError as error:
                figures.append(_missing(case.called("all", engine), error.message))
                continue
            figures += [_figure(case.called(name, engine), found, case) for name, found in rounds.items()]
        return figures


@dataclass(slots=True)
class _Rounds:
    """Milliseconds of one operation, a median a round."""

    large: list[float] = field(default_factory=list)
    small: list[float] = field(default_factory=list)


def _figure(name: str, rounds: _Rounds, case: Case) -> Figure:
    return Figure(
        name=name,
        unit="ms",
        better="less",
        rounds=rounds.large,
        goal=_MOST_TIMES,
        peer=f"among {case.small.jobs:,}",
        peer_rounds=rounds.small,
        note="as many live jobs in both; through the parts of the service, without HTTP",
    )


def _missing(name: str, reason: str) -> Figure:
    return Figure(name=name, unit="ms", better="less", rounds=(), goal=_MOST_TIMES, missing=reason)


async def _compare(ground: Ground, engine: str, case: Case) -> dict[str, _Rounds]:
    """Fill one database with much and one with little, and time the same in each, one right after the other."""
    async with AsyncExitStack() as opened:
        large, small = [await _filled(opened, ground, engine, past) for past in (case.large, case.small)]
        rounds = {name: _Rounds() for name in _operations(large)}
        for number in range(ground.rounds):
            ground.say(f"tables on {engine}, round {number + 1}")
            for name, found in rounds.items():
                found.small.append(await _timed(_operations(small)[name], case.repeats))
                found.large.append(await _timed(_operations(large)[name], case.repeats))
    return rounds


@dataclass(frozen=True, slots=True)
class _Place:
    """A service on a filled database, and some ids of jobs that ended at any time."""

    runtime: Runtime
    ended: list[JobId]


async def _filled(opened: AsyncExitStack, ground: Ground, engine: str, past: Past) -> _Place:
    url = opened.enter_context(ground.database(engine))
    ground.say(f"{engine}: {past.jobs:,} jobs with {past.jobs * past.events:,} events")
    await asyncio.to_thread(fill, url, past)
    service = opened.enter_context(ground.service(url, USE_DURABLE_WORKER="false"))
    runtime = await opened.enter_async_context(service.runtime())
    return _Place(runtime, await runtime.database.read(lambda connection: _spread(connection, past)))


def _spread(connection: Connection, past: Past) -> list[JobId]:
    """Ids from all over the table."""
    found = select(jobs.c.id).where(jobs.c.completed_at.is_not(None)).order_by(jobs.c.id)
    ids = connection.execute(found).scalars().all()
    return [JobId(one) for one in ids[:: max(1, past.jobs // 997)]]


Operation: TypeAlias = Callable[[int], Awaitable[object]]


def _operations(place: _Place) -> dict[str, Operation]:
    """What is timed; each is given the number of its turn."""
    runtime, database = place.runtime, place.runtime.database

    async def post(_: int) -> None:
        await runtime.jobs.submit(
            NewJob(kind="generation", user_id=OWNER, project_id="p0", recipe="script", request={})
        )

    async def get(turn: int) -> None:
        await runtime.jobs.get_with_steps(place.ended[turn % len(place.ended)])

    async def page(wanted: JobFilter, cursor: str | None = None, limit: int = 50) -> None:
        found = await runtime.jobs.list(wanted, limit=limit, cursor=cursor)
        await steps_of(database, [job.id for job in found.items])

    async def stats(_: int) -> None:
        await database.read(figures.look)

    async def claim(_: int) -> None:
        await runtime.executor.claim_waiting("background_tasks", 1)

    logs = EventLogs(runtime.database)
    half_way = place.ended[len(place.ended) // 2]
    return {
        "POST": post,
        "GET": get,
        "list": lambda _: page(JobFilter(user_id=OWNER)),
        "list, half-way": lambda _: page(JobFilter(user_id=OWNER), half_way),
        "list, failed": lambda _: page(JobFilter(user_id=OWNER, status="failed"), limit=10),
        "list, of a project": lambda _: page(JobFilter(user_id=OWNER, project_id="p0")),
        "stats": stats,
        "claim": claim,
        "events of a job": lambda turn: logs.read([(place.ended[turn % len(place.ended)], 3)]),
    }


async def _timed(operation: Operation, repeats: int) -> float:
    """The median of so many, in milliseconds."""
    took = []
    for turn in range(-_WARM_UP, repeats):
        began = time.perf_counter()
        await operation(turn)
        took.append((time.perf_counter() - began) * 1000)
    return median(took[_WARM_UP:])


ROW = Tables()
