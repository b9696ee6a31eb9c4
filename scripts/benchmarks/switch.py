"""The row `switch`: 10,000 waiting jobs leave RQ for the API's own process and come back, while callers go on."""

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from generation_service.bootstrap import Runtime
from generation_service.errors import ConfigurationError
from generation_service.switching import state
from generation_service.switching.asked import Rollback, Rollforward
from generation_service.switching.switches import Switch
from scripts.benchmarks.disk import DiskWait, in_words
from scripts.benchmarks.ground import Ground
from scripts.benchmarks.http_load import Outcome, Plan
from scripts.benchmarks.model import Figure, Size
from scripts.benchmarks.service import Service
from scripts.benchmarks.work import submit
from workers.redis_connection import connect

SWITCH_GOAL_SECONDS, POST_GOAL_MS = 5.0, 100.0

_JOBS = {"full": 10_000, "small": 200}
_TRIAL_SECONDS = {"full": 4.0, "small": 0.5}
_SHORTEST_SECONDS = 1.0  # of a load: fewer answers say nothing of the slowest in a hundred
_CONNECTIONS = 32
_WARM_SECONDS = 0.5
_NAME = "benchmark"  # who says it all, and why
_EXPECTED = frozenset(
    {"gates_forced"}
)  # nobody has said anything to the criteria, and a canary does not run in a pause

Rounds = defaultdict[str, list[float]]


class SwitchRow:
    """Both ways twice: alone, and under half of the POSTs that the API can answer at most.

    The service is paused and RQ suspended, so that all jobs wait for as long as it takes; each switch proves itself
    by its report (jobs left, the ledger), or it counts as failed.
    """

    name = "switch"
    caption = "switch of 10,000 waiting jobs"

    def measure(self, ground: Ground, size: Size) -> list[Figure]:
        rounds: Rounds = defaultdict(list)
        missing: dict[str, str] = {}
        for number in range(ground.rounds):
            for engine in ground.engines:
                if engine not in missing:
                    ground.say(f"round {number + 1} of {ground.rounds}, {engine}")
                    _round(ground, engine, size, rounds, missing)
        return [
            Figure(
                name=f"{what}, {engine}",
                unit=unit,
                better="less",
                rounds=rounds[f"{what}, {engine}"],
                goal=goal,
                missing=missing.get(engine),
                note=in_words(rounds[f"{what}, {engine}"], rounds[f"disk during {what}, {engine}"])
                if unit == "ms"
                else "",
            )
            for engine in ground.engines
            for what, unit, goal in (
                ("rollback", "s", SWITCH_GOAL_SECONDS),
                ("roll-forward", "s", SWITCH_GOAL_SECONDS),
                ("POST p99 during a rollback", "ms", POST_GOAL_MS),
                ("POST p99 during a roll-forward", "ms", POST_GOAL_MS),
            )
        ]


def _round(ground: Ground, engine: str, size: Size, rounds: Rounds, missing: dict[str, str]) -> None:
    try:
        database = ground.database(engine)
        with database as url, ground.service(url) as service:
            _suspend(service)
            service.api()
            service.worker()
            most = _posts(service, _TRIAL_SECONDS[size]).run().rate
            submit(service, _JOBS[size], in_all=True)
            for name, value in asyncio.run(_both_ways_twice(service, size, most / 2)).items():
                rounds[f"{name}, {engine}"].append(value)
                ground.say(f"{engine}: {name}: {value:.2f}")
    except ConfigurationError as error:
        missing[engine] = str(error).partition("\n")[0]


async def _both_ways_twice(service: Service, size: Size, rate: float) -> dict[str, float]:
    measured: dict[str, float] = {}
    async with _paused(service) as runtime:
        for name in ("rollback", "roll-forward"):
            measured[name] = seconds = await _switch(runtime, name, _JOBS[size])
            # A second time, under a load that ends before the switch does: what is counted is what it meets.
            loaded = _Load(_posts(service, max(seconds, _SHORTEST_SECONDS), rate))
            back = "roll-forward" if name == "rollback" else "rollback"
            await _switch(runtime, back, _JOBS[size])
            loaded.start()
            disk = DiskWait()
            await asyncio.sleep(_WARM_SECONDS)
            await _switch(runtime, name, _JOBS[size])
            posted = f"POST p99 during a {name}"
            measured[posted] = (await asyncio.to_thread(loaded.outcome)).percentile(0.99)
            measured[f"disk during {posted}"] = disk.seconds()
    return measured


async def _switch(runtime: Runtime, name: str, least: int) -> float:
    """Carry out a switch; the seconds of its report. Raises RuntimeError where the report shows anything amiss."""
    switchover = runtime.operations.switchover
    if name == "rollback":
        switch = await switchover.rollback(Rollback(reason=_NAME, said_by=_NAME))
    else:
        switch = await switchover.rollforward(Rollforward(reason=_NAME, said_by=_NAME, force=True, carry="waiting"))
    outcome = switch.report["outcome"]
    amiss = {finding["code"] for finding in outcome["findings"]} - _EXPECTED
    if switch.status != "completed" or amiss or outcome["jobs_moved"] < least:
        raise RuntimeError(f"a {name} went wrong: {_in_short(switch)}")
    return float(outcome["seconds"])


def _in_short(switch: Switch) -> str:
    return json.dumps({"status": switch.status, **switch.report["outcome"]}, default=str)


class _Load:
    """Requests of a process of their own, while something else goes on."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._thread = threading.Thread(target=self._run, name="load")
        self._outcome: Outcome | None = None

    def start(self) -> None:
        self._thread.start()

    def outcome(self) -> Outcome:
        """Wait for the end. Raises RuntimeError where requests were refused, or could not be sent."""
        self._thread.join()
        found = self._outcome
        if found is None or set(found.statuses) != {"202"}:
            raise RuntimeError(f"not every POST was accepted: {found.statuses if found else 'the load failed'}")
        return found

    def _run(self) -> None:
        self._outcome = self._plan.run()


def _posts(service: Service, seconds: float, rate: float | None = None) -> Plan:
    host, _, port = service.url.removeprefix("http://").partition(":")
    body = json.dumps({"project_id": _NAME, "episode_data": {"title": "하나"}})
    return Plan(
        host=host,
        port=int(port),
        path="/api/generation",
        headers={"Content-Type": "application/json", "Idempotency-Key": "@KEY@"},
        body=body,
        connections=_CONNECTIONS,
        seconds=seconds,
        warm_seconds=_WARM_SECONDS,
        rate=rate,
    )


def _suspend(service: Service) -> None:
    """Let RQ's workers pop nothing: what is delivered stays where it is."""
    client = connect(service.variables["REDIS_URL"], timeout_seconds=5.0)
    client.set("rq:suspended", "1")
    client.close()


@asynccontextmanager
async def _paused(service: Service) -> AsyncIterator[Runtime]:
    """The parts of the service in this process, while nothing starts on either backend."""
    async with service.runtime() as runtime:
        await runtime.database.write(
            lambda connection: state.apply(connection, "pause", by=_NAME, reason=_NAME, grace_seconds=0.0)
        )
        yield runtime


ROW = SwitchRow()
