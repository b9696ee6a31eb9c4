"""DBOS with eight empty steps a workflow, in one process, on a PostgreSQL database of its own.

Run as a program, `python -m scripts.benchmarks.peers.dbos_steps URL COUNT WAY WIDTH`: prints JSON. Two ways to start
workflows are measured, and the faster one is the peer: `starts` begins asynchronous workflows, WIDTH at a time; `queue`
has all of them in a DBOS queue first and measures from the first that is taken from it to the last that ends.
"""

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import psycopg

from scripts.benchmarks.ground import Ground

PEER = "DBOS, eight empty steps"
WAYS = ("starts", "queue")
STEPS = 8
_WIDTH = 16  # as many at once as a worker of ours holds by default
_POLLING_SECONDS = 0.05  # of its queue; its default is a second
_QUEUE = "benchmark"
_SPAN = (
    "SELECT count(*), max(completed_at) - min(started_at_epoch_ms) FROM dbos.workflow_status "
    "WHERE queue_name = %s AND status = 'SUCCESS'"
)
_MOST_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Workflows:
    """The workflows as DBOS knows them."""

    dbos: Any
    asynchronous: Any
    synchronous: Any


def is_installed() -> bool:
    """Whether the library is there."""
    return find_spec("dbos") is not None


def per_second(ground: Ground, count: int, way: str) -> float:
    """Workflows a second in a process of their own. Raises CalledProcessError where that fails."""
    with ground.empty_postgresql() as url:
        program = ground.module(__name__, url, str(count), way, str(_WIDTH))
        done = subprocess.run(  # noqa: S603 - this module
            program.command, env=dict(program.environment), stdout=subprocess.PIPE, timeout=_MOST_SECONDS, check=True
        )
    return float(json.loads(done.stdout)["per_second"])


def main(arguments: list[str]) -> int:
    """Measure one way and print what it came to."""
    url, count, way, width = arguments[0], int(arguments[1]), arguments[2], int(arguments[3])
    workflows = _launched(url, width)
    try:
        measured = (
            asyncio.run(_starts(workflows, count, width)) if way == "starts" else _queue(workflows, count, width, url)
        )
    finally:
        workflows.dbos.destroy()
    sys.stdout.write(json.dumps({"per_second": measured}) + "\n")
    return 0


def _launched(url: str, width: int) -> Workflows:
    dbos: Any = import_module("dbos").DBOS
    dbos(
        config={
            "name": "peer",
            "system_database_url": url,
            "log_level": "ERROR",
            "sys_db_pool_size": width,
            "max_executor_threads": width,
        }
    )
    workflows = Workflows(dbos, asynchronous=_asynchronous(dbos), synchronous=_synchronous(dbos))
    dbos.launch()
    return workflows


def _synchronous(dbos: Any) -> Any:
    def nothing(number: int) -> int:
        return number

    step = dbos.step()(nothing)

    def steps(number: int) -> int:
        for turn in range(STEPS):
            step(turn)
        return number

    return dbos.workflow()(steps)


def _asynchronous(dbos: Any) -> Any:
    async def nothing_awaited(number: int) -> int:
        return number

    step = dbos.step()(nothing_awaited)

    async def steps_awaited(number: int) -> int:
        for turn in range(STEPS):
            await step(turn)
        return number

    return dbos.workflow()(steps_awaited)


async def _starts(workflows: Workflows, count: int, width: int) -> float:
    gate = asyncio.Semaphore(width)

    async def one(number: int) -> None:
        async with gate:
            handle = await workflows.dbos.start_workflow_async(workflows.asynchronous, number)
            await handle.get_result()

    began = time.monotonic()
    await asyncio.gather(*(one(number) for number in range(count)))
    return count / (time.monotonic() - began)


def _queue(workflows: Workflows, count: int, width: int, url: str) -> float:
    dbos = workflows.dbos
    handles = [dbos.enqueue_workflow(_QUEUE, workflows.synchronous, number) for number in range(count)]
    # Not before: what nobody has registered, nobody takes from.
    dbos.register_queue(_QUEUE, worker_concurrency=width, polling_interval_sec=_POLLING_SECONDS)
    for handle in handles:
        handle.get_result()
    with psycopg.connect(url) as connection:
        row = connection.execute(_SPAN, [_QUEUE]).fetchone()
    if row is None or row[0] < count:
        raise RuntimeError("not every workflow ended")
    return count * 1000 / float(row[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
