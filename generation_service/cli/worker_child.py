"""The program of a forking worker's template, and what each of its children does: run one delivered job.

python -m generation_service.cli.worker_child SOCKET_DESCRIPTOR WORKER_PID
"""

import asyncio
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

from generation_service.bootstrap import build
from generation_service.cli.leash import hold_on_to
from generation_service.cli.worker_template import RELEASE, Template
from generation_service.jobs.model import JobId
from generation_service.settings import Settings, load_settings
from generation_service.telemetry import configure_logging

# What a job imports only when it needs it: here once, instead of in each child. What is not installed is not needed.
PRELOADED = (
    "generation_service.pipeline.steps",
    "generation_service.reader",
    "numpy",
    "generation_service.llm.server",
    "pydantic_ai",
    "generation_service.wakeups.postgres_channel",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
)


def main() -> None:
    """Become a template that ends with its worker."""
    descriptor, worker = (int(one) for one in sys.argv[1:])
    hold_on_to(worker)
    settings = load_settings()
    configure_logging(settings.log_format, settings.log_level)
    for name in PRELOADED:
        with suppress(ImportError):
            import_module(name)
    Template(socket.socket(fileno=descriptor), partial(run, settings)).serve()


def run(settings: Settings, asked: Mapping[str, Any]) -> None:
    """Run one delivery to its end, in a process that was forked for it."""
    asyncio.run(_run(settings, JobId(asked["job_id"]), asked["process"]))


async def _run(settings: Settings, job_id: JobId, process: str) -> None:
    async with build(settings, "tool", process=process).running() as runtime:

        def give_back() -> None:
            runtime.heartbeat.hand_over_all()  # also where the claim is still to come
            runtime.heartbeat.release_all()

        asyncio.get_running_loop().add_signal_handler(RELEASE, give_back)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [RELEASE])
        await runtime.executor.execute(job_id, "rq")


if __name__ == "__main__":
    main()
