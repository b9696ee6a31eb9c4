"""`rollforward`: new jobs go to RQ again, through gates and by and by; on the database and Redis directly."""

from typing import Any

import click

from generation_service.cli.operating import actor
from generation_service.cli.switching import carry_out
from generation_service.cli.terminal import say
from generation_service.jobs.routing import Rollout, rollout_of
from generation_service.settings import Settings, load_settings
from generation_service.switching.asked import Rollforward


@click.command("rollforward", help=say("help.rollforward"))
@click.option("--reason", metavar="TEXT", help=say("help.switch.reason"))
@click.option("--percent", type=click.IntRange(0, 100), metavar="N", help=say("help.rollforward.percent"))
@click.option("--project", "projects", multiple=True, metavar="ID", help=say("help.rollforward.project"))
@click.option(
    "--carry",
    type=click.Choice(["nothing", "waiting"]),
    default="nothing",
    show_default=True,
    help=say("help.rollforward.carry"),
)
@click.option("--root-cause", metavar="TEXT", help=say("help.rollforward.root_cause"))
@click.option("--load-test", metavar="TEXT", help=say("help.rollforward.load_test"))
@click.option("--no-leak", metavar="TEXT", help=say("help.rollforward.no_leak"))
@click.option("--approved-by", metavar="NAME", help=say("help.rollforward.approved_by"))
@click.option("--force", is_flag=True, help=say("help.rollforward.force"))
@click.option("--dry-run", is_flag=True, help=say("help.switch.dry_run"))
@click.option("--json", "as_json", is_flag=True, help=say("help.json"))
def command(
    *,
    reason: str | None,
    percent: int | None,
    projects: tuple[str, ...],
    carry: Any,
    force: bool,
    dry_run: bool,
    as_json: bool,
    **criteria: str | None,
) -> int:
    """Roll forward; the remaining options are what people say to the criteria."""
    if not (reason or "").strip():
        raise click.UsageError(say("switch.reason_needed"))
    settings = load_settings()
    wanted = Rollforward(
        reason=(reason or "").strip(),
        said_by=actor(),
        rollout=_rollout(settings, percent, projects),
        carry=carry,
        criteria=criteria,
        force=force,
    )
    return carry_out(settings, wanted, dry_run=dry_run, as_json=as_json)


def _rollout(settings: Settings, percent: int | None, projects: tuple[str, ...]) -> Rollout:
    share = settings.durable_worker_rollout_percent if percent is None else percent
    return rollout_of(share, projects or settings.durable_worker_projects)
