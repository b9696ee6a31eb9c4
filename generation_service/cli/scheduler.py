"""`scheduler`: the ticker of the schedules in durable mode, on standby while the RQ part is switched off."""

import asyncio

import click

from generation_service.cli.standby import Ending, work_while_wanted
from generation_service.cli.terminal import open_database, say
from generation_service.jobs.routing import Mode
from generation_service.settings import Settings, load_settings
from generation_service.switching.processes import Processes, name_process
from generation_service.switching.standby import Follower
from generation_service.telemetry import configure_logging
from generation_service.telemetry.collector import load

_WORK = "workers.schedule"  # loaded when there is work: a process that stands by is to be small


@click.command("scheduler", help=say("help.scheduler"))
def command() -> None:
    """Tick until SIGTERM or SIGINT."""
    settings = load_settings()
    configure_logging(settings.log_format, settings.log_level)
    if not settings.worker_system_enabled:
        click.echo(say("scheduler.disabled"))
        return
    work_while_wanted(settings, "scheduler", lambda ending: asyncio.run(_tick(settings, ending)))


async def _tick(settings: Settings, ending: Ending) -> bool:
    """Tick until told to end, or until the RQ part is switched off: True then."""
    database = open_database(settings)
    processes = Processes(database=database, name=name_process("scheduler"), role="scheduler")
    stopping, switched_off = asyncio.Event(), asyncio.Event()

    def stand_by(_mode: Mode) -> None:
        switched_off.set()
        stopping.set()

    follower = Follower(database=database, on_disabled=stand_by)
    try:
        await processes.start()
        follower.start()
        ending.listen(stopping.set)
        click.echo(say("scheduler.ticking"))
        processes.enter("serving")
        await load(_WORK).run_scheduler(settings, database, stopping)
        await follower.stop()
        await processes.stop()
    finally:
        await asyncio.to_thread(database.close)
    return switched_off.is_set()
