"""`scheduler`: the ticker of the schedules in durable mode."""

import click

from generation_service.cli.terminal import prepare_database, say
from generation_service.settings import load_settings
from generation_service.telemetry import configure_logging
from workers.schedule import run_scheduler


@click.command("scheduler", help=say("help.scheduler"))
def command() -> None:
    """Tick until SIGTERM or SIGINT."""
    settings = load_settings()
    configure_logging(settings.log_format, settings.log_level)
    if not settings.worker_system_enabled:
        click.echo(say("scheduler.disabled"))
        return
    prepare_database(settings)
    click.echo(say("scheduler.ticking"))
    run_scheduler(settings)
