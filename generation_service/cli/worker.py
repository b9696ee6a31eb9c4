"""`worker`: one RQ worker process that holds many jobs at once."""

import asyncio

import click

from generation_service.bootstrap import Runtime, build
from generation_service.cli.terminal import prepare_database, say
from generation_service.jobs import dead_letters
from generation_service.jobs.model import JobId
from generation_service.settings import Settings, load_settings
from generation_service.telemetry import configure_logging
from workers.concurrent_worker import Callbacks, ConcurrentWorker, WorkerOptions
from workers.names import QUEUES
from workers.payload import ForeignEntry


@click.command("worker", help=say("help.worker"))
@click.option("--queues", metavar="NAME,...", default=",".join(QUEUES), help=say("help.worker.queues"))
@click.option("--concurrency", type=click.IntRange(1, 4096), help=say("help.worker.concurrency"))
@click.option("--burst", is_flag=True, help=say("help.worker.burst"))
def command(queues: str, concurrency: int | None, *, burst: bool) -> None:
    """Work until SIGTERM or SIGINT, or until the queues are empty."""
    settings = load_settings()
    configure_logging(settings.log_format, settings.log_level)
    if not settings.worker_system_enabled:
        # Exit 0: nothing is wrong, and whoever restarts what failed has nothing to restart.
        click.echo(say("worker.disabled"))
        return
    options = WorkerOptions(
        queues=_named(queues),
        concurrency=concurrency or settings.worker_concurrency,
        burst=burst,
        shutdown_grace_seconds=settings.shutdown_grace_seconds,
        redis_timeout_seconds=settings.redis_timeout_seconds,
    )
    prepare_database(settings)
    asyncio.run(_work(settings, options))


def _named(queues: str) -> tuple[str, ...]:
    named = tuple(name.strip() for name in queues.split(",") if name.strip())
    if not named or not set(named) <= set(QUEUES):
        raise click.UsageError(say("worker.unknown_queue", queues=", ".join(QUEUES)))
    return named


async def _work(settings: Settings, options: WorkerOptions) -> None:
    async with build(settings, "worker").running() as runtime:
        worker = ConcurrentWorker(settings.redis_address, callbacks(runtime), options)
        click.echo(say("worker.listening", concurrency=options.concurrency, queues=", ".join(options.queues)))
        await worker.run()


def callbacks(runtime: Runtime) -> Callbacks:
    """What a worker calls, as this runtime answers it."""

    async def keep(entry: ForeignEntry) -> None:
        await runtime.database.write(
            lambda connection: dead_letters.keep_foreign(
                connection, origin=entry.queue, reason=entry.reason, detail=entry.rq_id, raw=entry.raw
            )
        )

    async def stop(job_id: JobId) -> None:
        await runtime.jobs.cancel(job_id)

    async def tick() -> None:
        await runtime.fire_schedules(at_once=True)

    async def release_all() -> None:
        runtime.heartbeat.release_all()

    return Callbacks(
        execute=runtime.executor.execute, on_foreign=keep, on_stop=stop, on_tick=tick, release_all=release_all
    )
