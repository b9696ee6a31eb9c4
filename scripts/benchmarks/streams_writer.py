"""Writes events as the runs of a worker do: committed together with those of other jobs, told of after the commit.

python -m scripts.benchmarks.streams_writer < plan.json
"""

import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from sqlalchemy import Connection, insert, update

from generation_service.database import Database, db_now
from generation_service.database.tables import events, jobs
from generation_service.wakeups import open_wakeups
from scripts.benchmarks.streams_plan import MARK, TOKEN, Plan
from workers.redis_connection import connect

_TICK_SECONDS = 0.02  # what gathers meanwhile is committed together
_REDIS_SECONDS = 2.0


def write(connection: Connection, job_ids: Sequence[str], tick: int) -> None:
    """Write one event of each of these jobs, numbered under the locks of their rows."""
    raised = update(jobs).where(jobs.c.id.in_(job_ids), jobs.c.status == "running").values(seq=jobs.c.seq + 1)
    numbers = {row.id: row.seq for row in connection.execute(raised.returning(jobs.c.id, jobs.c.seq))}
    rows = [
        {
            "job_id": job_id,
            "sequence": number,
            "data": {"sequence": number, "step": "signal", "text": TOKEN, MARK: tick},
        }
        for job_id, number in numbers.items()
    ]
    connection.execute(insert(events).values(type="token", created_at=db_now()), cast("Any", rows))


def run(plan: Plan) -> list[float]:
    """Write all events at the plan's rate; return when each transaction was committed."""
    database = Database(plan.database_url)
    to_redis = partial(connect, plan.redis_url, timeout_seconds=_REDIS_SECONDS) if plan.redis_url else None
    wakeups = open_wakeups(database, to_redis, listens=False)
    wakeups.start()
    committed: list[float] = []
    began, written = time.monotonic(), 0
    try:
        while written < plan.events:
            time.sleep(max(0.0, began + len(committed) * _TICK_SECONDS - time.monotonic()))
            due = min(plan.events, int((time.monotonic() - began) * plan.rate) + 1) - written
            mine = [plan.jobs[number % len(plan.jobs)] for number in range(written, written + due)][: len(plan.jobs)]
            if mine:
                database.write_now(partial(write, job_ids=mine, tick=len(committed)))
                wakeups.wake(mine)
            committed.append(time.monotonic())
            written += len(mine)
        time.sleep(_TICK_SECONDS)  # the last of them are on their way
    finally:
        wakeups.stop()
        database.close()
    return committed


def main() -> int:
    """Run the plan on standard input; the times of the commits go to its file."""
    plan = Plan.read()
    written = plan.commits.with_suffix(".part")
    written.write_text(json.dumps(run(plan)), encoding="utf-8")
    written.rename(plan.commits)  # the readers begin with it as soon as it is there
    return 0


if __name__ == "__main__":
    sys.exit(main())
