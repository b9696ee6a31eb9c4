"""`worker`: one RQ worker process that holds many jobs at once, or stands by while the RQ part is switched off."""

import click

from generation_service.cli.standby import Ending, work_while_wanted
from generation_service.cli.terminal import say
from generation_service.settings import load_settings
from generation_service.telemetry import configure_logging
from generation_service.telemetry.collector import load
from workers.names import QUEUES

_WORK = "generation_service.cli.working"  # loaded when there is work: a process that stands by is to be small


@click.command("worker", help=say("help.worker"))
@click.option("--queues", metavar="NAME,...", default=",".join(QUEUES), help=say("help.worker.queues"))
@click.option("--concurrency", type=click.IntRange(1, 4096), help=say("help.worker.concurrency"))
@click.option("--burst", is_flag=True, help=say("help.worker.burst"))
@click.option("--fork", is_flag=True, help=say("help.worker.fork"))
def command(queues: str, concurrency: int | None, *, burst: bool, fork: bool) -> None:
    """Work until SIGTERM or SIGINT, or until the queues are empty."""
    settings = load_settings()
    configure_logging(settings.log_format, settings.log_level)
    named = _named(queues)
    if not settings.worker_system_enabled:
        # Exit 0: nothing is wrong, and whoever restarts what failed has nothing to restart.
        click.echo(say("worker.disabled"))
        return

    def work(ending: Ending) -> bool:
        slots = concurrency or settings.worker_concurrency
        given = {"queues": named, "concurrency": slots, "burst": burst, "fork": fork}
        worked: bool = load(_WORK).work(settings, ending, **given)
        return worked

    work_while_wanted(settings, "worker", work, patient=not burst)


def _named(queues: str) -> tuple[str, ...]:
    named = tuple(name.strip() for name in queues.split(",") if name.strip())
    if not named or not set(named) <= set(QUEUES):
        raise click.UsageError(say("worker.unknown_queue", queues=", ".join(QUEUES)))
    return named
