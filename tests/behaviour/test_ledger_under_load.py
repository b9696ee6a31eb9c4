"""The ledger of a busy service: jobs come, run, end and change sides in real processes, and nothing looks wrong."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from generation_service.database import Database
from generation_service.jobs.model import BACKENDS
from generation_service.switching.ledger import Ledger
from tests.behaviour.conftest import Service
from tests.support.stack import Stack
from tests.support.switched import switched
from workers.rq_view import RedisView

_LOOKS = 15


@contextmanager
def load(stack: Stack) -> Iterator[list[str]]:
    """Submit without a pause, until the end of the block; the ids of what was accepted."""
    ending = threading.Event()
    accepted: list[str] = []

    def submit() -> None:
        while not ending.is_set():
            accepted.append(stack.submit(project=f"p{len(accepted) % 5}")["job_id"])

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        yield accepted
    finally:
        ending.set()
        thread.join()


@pytest.mark.timeout(300)
async def test_a_busy_system_shows_no_phantom(
    service: Service, database: Database, redis_url: str, tmp_path: Path
) -> None:
    service.stack.settings["LLM_PROVIDER"] = "offline"
    service.start()
    view = RedisView(redis_url, timeout_seconds=5)
    ledger = Ledger(database=database, view=view, between_looks_seconds=0.1)
    with load(service.stack) as accepted:
        await asyncio.to_thread(service.stack.until, lambda: len(accepted) > 20, "there is load")
        for _ in range(_LOOKS):
            report = await ledger.check()
            assert report.clean, report.as_json()
    for job_id in accepted:
        await asyncio.to_thread(service.stack.wait_for, job_id, "completed", seconds=120)

    report = await ledger.check()

    view.close()
    assert report.clean, report.as_json()
    assert report.counts.of_status("completed") >= len(accepted)


@pytest.mark.timeout(300)
async def test_a_busy_system_whose_jobs_are_moved_to_and_fro_shows_no_phantom(
    service: Service, database: Database, redis_url: str
) -> None:
    service.stack.settings["LLM_PROVIDER"] = "offline"
    service.start()
    if service.mode == "background_tasks":
        service.stack.worker()
    async with switched(database, redis_url) as parts:
        with load(service.stack) as accepted:
            for turn in range(_LOOKS):
                source, target = BACKENDS if turn % 2 else reversed(BACKENDS)
                await parts.say(target)
                await parts.migration.run(source, target, include_running=turn % 3 == 0, dry_run=False, by="ana")
                report = await parts.ledger.check()
                assert report.clean, report.as_json()
        for job_id in accepted:
            ended = await asyncio.to_thread(service.stack.wait_for, job_id, seconds=120)
            assert (ended["status"], ended["attempt"]) == ("completed", 1)
        await parts.sync.run(dry_run=False)
        report = await parts.ledger.check()
        assert report.clean, report.as_json()
        assert report.counts.of_status("completed") >= len(accepted)
