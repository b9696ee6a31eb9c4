"""The row `submission`: POST /api/generation against a bare FastAPI route that only calls `Queue.enqueue`."""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx2

from generation_service.errors import ConfigurationError
from scripts.benchmarks.disk import DiskWait, in_words
from scripts.benchmarks.ground import Ground
from scripts.benchmarks.http_load import KEY, Outcome, Plan
from scripts.benchmarks.model import Figure, Size
from scripts.benchmarks.running import Running
from scripts.benchmarks.service import NotReady, Service
from scripts.embedded.children import Program
from scripts.embedded.ports import LOOPBACK, free_port
from scripts.embedded.waiting import wait_until

PEER = "bare FastAPI route, Queue.enqueue"
THROUGHPUT_GOAL, P99_GOAL_MS = 1.0, 50.0

_CLIENTS = 32
_BODY = json.dumps({"project_id": "harbour-lights", "episode_data": {"title": "The letter"}})
_ROUTES = ("sync", "async")  # the peer's two ways; the faster one counts
_START_SECONDS = 60.0
_PROJECT = Path(__file__).parents[2]

Rounds = defaultdict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Times:
    """How long a load lasts, and before that, uncounted, how long it warms up; in seconds."""

    closed: float
    open: float
    warm: float


_TIMES: Mapping[Size, Times] = {"full": Times(4.0, 10.0, 1.0), "small": Times(0.5, 0.5, 0.2)}


class SubmissionRow:
    """One API process each, 32 connections that stay open, the same client; nobody works on what is accepted.

    Ours accepts for RQ: so both enqueue. What the routes of the peer have in common with ours (the server, the
    framework, the body) is served by the same libraries. The open loop sends at random times, half as many as
    the median closed loop of that engine took, and counts from when a request was due.
    """

    name = "submission"
    caption = "POST /api/generation, 32 clients"

    def measure(self, ground: Ground, size: Size) -> list[Figure]:
        """Measure each engine beside the peer, in turns."""
        figures: list[Figure] = []
        for engine in ground.engines:
            rounds: Rounds = defaultdict(list)
            missing = None
            ground.say(engine)
            try:
                with ground.database(engine) as url, ground.service(url) as service, _peer(ground) as peer_port:
                    ours = _plan(service, _TIMES[size])
                    rounds = _measure(ground, service.api(), ours, peer_port, _TIMES[size].open)
            except ConfigurationError as error:
                missing = str(error).partition("\n")[0]
            figures += _figures(engine, rounds, missing)
        return figures


def _plan(service: Service, times: Times) -> Plan:
    return Plan(
        host=LOOPBACK,
        port=int(service.variables["PORT"]),
        path="/api/generation",
        body=_BODY,
        connections=_CLIENTS,
        seconds=times.closed,
        warm_seconds=times.warm,
    )


def _measure(ground: Ground, api: Running, ours: Plan, peer_port: int, open_seconds: float) -> Rounds:
    """Everybody once a round, in turns, so that a slow minute of the machine is everybody's; then the open loops."""
    rounds: Rounds = defaultdict(list)
    for number in range(ground.rounds):
        ground.say(f"round {number + 1} of {ground.rounds}")
        before = api.cpu_seconds()
        outcome = _accepted(ours)
        rounds["ours"].append(outcome.rate)
        rounds["cpu"].append(1000 * (api.cpu_seconds() - before) / (outcome.rate * (ours.seconds + ours.warm_seconds)))
        rounds["keyed"].append(_accepted(ours.but(headers={"Idempotency-Key": KEY})).rate)
        for route in _ROUTES:
            rounds[route].append(_accepted(ours.but(port=peer_port, path=f"/{route}")).rate)
    for number in range(ground.rounds):
        disk = DiskWait()
        opened = _accepted(ours.but(rate=median(rounds["ours"]) / 2, seconds=open_seconds, seed=number))
        rounds["p99"].append(opened.percentile(0.99))
        rounds["disk"].append(disk.seconds())
    return rounds


def _accepted(plan: Plan) -> Outcome:
    """The outcome of a plan of which every request was accepted. Raises RuntimeError where one was not."""
    outcome = plan.run()
    if set(outcome.statuses) != {"202"} or outcome.unanswered:
        raise RuntimeError(f"{plan.path}: not every request was accepted: {outcome.statuses}")
    return outcome


def _figures(engine: str, rounds: Rounds, missing: str | None) -> list[Figure]:
    fastest = max(_ROUTES, key=lambda route: median(rounds[route]) if rounds[route] else 0.0)
    peer: dict[str, Any] = {"peer": PEER, "peer_rounds": rounds[fastest], "missing": missing}
    return [
        Figure(
            name=f"jobs accepted a second, {engine}",
            unit="jobs/s",
            better="more",
            rounds=rounds["ours"],
            goal=THROUGHPUT_GOAL,
            note=f"the peer's route is {fastest}",
            **peer,
        ),
        Figure(
            name=f"jobs accepted a second, with an Idempotency-Key each, {engine}",
            unit="jobs/s",
            better="more",
            rounds=rounds["keyed"],
            **peer,
        ),
        Figure(
            name=f"p99 of an open loop at half of that, {engine}",
            unit="ms",
            better="less",
            rounds=rounds["p99"],
            goal=P99_GOAL_MS,
            missing=missing,
            note=in_words(rounds["p99"], rounds["disk"]),
        ),
        Figure(
            name=f"processor time for each, {engine}",
            unit="ms",
            better="less",
            rounds=rounds["cpu"],
            missing=missing,
        ),
    ]


@contextmanager
def _peer(ground: Ground) -> Iterator[int]:
    """The peer on the same Redis; its port. Raises NotReady."""
    port = free_port()
    module = ["-m", "uvicorn", "scripts.benchmarks.peers.rq_enqueue:app"]
    program = Program(
        command=[sys.executable, *module, "--host", LOOPBACK, "--port", str(port), "--no-access-log"],
        environment={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "REDIS_URL": ground.redis_url},
        folder=_PROJECT,
        log=ground.folder / "enqueue-peer.log",
    )
    running = Running(program, "the peer")
    try:
        wait_until(lambda: not running.alive or _answers(port), _START_SECONDS)
        if not running.alive:
            raise NotReady(f"the peer did not start:\n{running.last_lines()}")
        yield port
    finally:
        running.kill()


def _answers(port: int) -> bool:
    try:
        return httpx2.get(f"http://{LOOPBACK}:{port}/openapi.json", timeout=5, trust_env=False).is_success
    except httpx2.TransportError:
        return False


ROW = SubmissionRow()
