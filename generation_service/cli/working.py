"""The work of `worker`: an RQ worker around this process's runtime, until it is to end or to stand by."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import click

from generation_service.bootstrap import Runtime, build
from generation_service.cli import event_loop
from generation_service.cli.standby import Ending, grace_seconds
from generation_service.cli.terminal import say
from generation_service.cli.worker_forks import Forks
from generation_service.jobs import dead_letters
from generation_service.jobs.model import JobId
from generation_service.jobs.routing import Mode
from generation_service.settings import Settings
from generation_service.switching.standby import Follower
from generation_service.telemetry.collector import spare_pauses
from workers.concurrent_worker import Callbacks, ConcurrentWorker, WorkerOptions
from workers.payload import ForeignEntry

# A child that is stuck is killed this long after the time that a job may take.
_STUCK_SECONDS = 30.0


def work(
    settings: Settings, ending: Ending, *, queues: Sequence[str], concurrency: int, burst: bool, fork: bool = False
) -> bool:
    """Work until told to end, until the queues are empty (`burst`), or until the RQ part is switched off: True then.

    With `fork` each job runs in a process of its own.
    """
    options = WorkerOptions(
        queues=queues,
        concurrency=concurrency,
        burst=burst,
        shutdown_grace_seconds=settings.shutdown_grace_seconds,
        redis_timeout_seconds=settings.redis_timeout_seconds,
    )
    return event_loop.run(_fork(settings, ending, options) if fork else _work(settings, ending, options))


async def _fork(settings: Settings, ending: Ending, options: WorkerOptions) -> bool:
    """Work with a template, which is begun first and loads what it needs while this process does the same."""
    async with Forks(longest_seconds=settings.job_timeout_seconds + _STUCK_SECONDS) as forks:
        return await _work(settings, ending, options, forks)


async def _work(settings: Settings, ending: Ending, options: WorkerOptions, forks: Forks | None = None) -> bool:
    async with build(settings, "worker").running() as runtime:
        called = callbacks(runtime)
        if forks is not None:
            called = replace(called, execute=forks.execute, release_all=forks.release_all)
        worker = ConcurrentWorker(settings.redis_address, called, options)
        if forks is not None:
            await forks.begin(runtime.database, runtime.process, worker.give_up)
        processes, switched_off = runtime.operations.processes, asyncio.Event()

        def stop() -> None:
            processes.enter("draining")
            worker.ask_to_stop()

        def stand_by(mode: Mode) -> None:
            if not worker.stopping:
                switched_off.set()
                processes.enter("draining")
                worker.ask_to_stop(grace_seconds(settings, mode))

        spare_pauses()
        processes.report(lambda: {"active": worker.active, "capacity": options.concurrency})
        follower = Follower(database=runtime.database, on_disabled=stand_by, signs=runtime.signs)
        follower.start()
        ending.listen(stop)
        click.echo(say("worker.listening", concurrency=options.concurrency, queues=", ".join(options.queues)))
        try:
            await worker.run(handle_signals=False)
        finally:
            await follower.stop()
    return switched_off.is_set()


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
