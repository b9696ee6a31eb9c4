"""What a stock `rq worker` calls: the slow path that always works."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from redis import Redis
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer
from rq.utils import import_attribute

from generation_service.bootstrap import build
from generation_service.jobs.model import Job, JobId, NewJob
from generation_service.jobs.pruning import PRUNE
from generation_service.settings import Settings
from tests.conftest import SettingsFor
from tests.rq.support.deliveries import rq_queue
from tests.rq.support.working import ROOT
from workers import entrypoints
from workers.names import FIRE_SCHEDULES, QUEUES, RUN_JOB, rq_id


def test_the_names_that_rq_stores_are_those_of_the_functions() -> None:
    assert import_attribute(RUN_JOB) is entrypoints.run_job
    assert import_attribute(FIRE_SCHEDULES) is entrypoints.fire_schedules


async def _submit_and_deliver(settings: Settings) -> Job:
    async with build(settings, "tool").running() as runtime:
        submitted = await runtime.jobs.submit(NewJob(kind=PRUNE, user_id="ana", request={}, backend="rq"))
        runtime.adapter.deliver([submitted.job])
        return submitted.job


async def _look_up(settings: Settings, job_id: JobId) -> Job:
    runtime = build(settings, "tool")
    try:
        return await runtime.jobs.get(job_id)
    finally:
        runtime.close()


def test_a_stock_worker_runs_a_delivered_job(redis_url: str, sqlite_url: str, settings_for: SettingsFor) -> None:
    # Given a job that was delivered to RQ, twice
    given = {"database_url": sqlite_url, "redis_url": redis_url, "use_durable_worker": True}
    settings = settings_for(**given)
    job = asyncio.run(_submit_and_deliver(settings))
    client = Redis.from_url(redis_url)
    assert rq_queue(client).job_ids == [rq_id(job)]
    client.rpush("rq:queue:rag_processing", rq_id(job))

    # When RQ's own worker takes it
    program = Path(sys.executable).with_name("rq")
    environment = {**os.environ, **{name.upper(): str(value) for name, value in given.items()}}
    environment |= {"PYTHONWARNINGS": "ignore", "STORAGE_URL": settings.storage_url}
    command = [program, "worker", "--burst", "--serializer", "json", "--url", redis_url, *QUEUES]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)

    # Then it is run once, and RQ has nothing to repeat
    ended = asyncio.run(_look_up(settings, job.id))
    assert (ended.status, ended.claims) == ("completed", 1), done.stderr
    assert RqJob.fetch(rq_id(job), connection=client, serializer=JSONSerializer).get_status() == "finished"
