"""`rollback`: everything to in-process execution, in one command; on the database directly, with Redis dead too."""

from functools import partial

import click

from generation_service.cli.operating import actor, opened_database
from generation_service.cli.switching import FAILED, carry_out
from generation_service.cli.terminal import language, print_json, say
from generation_service.settings import load_settings
from generation_service.switching import reports, switches
from generation_service.switching.asked import Rollback
from generation_service.switching.status_page import status_page as written_status_page
from generation_service.switching.switches import Switch

_LAST = "last"


@click.command("rollback", help=say("help.rollback"))
@click.option("--reason", metavar="TEXT", help=say("help.switch.reason"))
@click.option("--keep-running", is_flag=True, help=say("help.rollback.keep_running"))
@click.option("--keep-workers", is_flag=True, help=say("help.rollback.keep_workers"))
@click.option("--dry-run", is_flag=True, help=say("help.switch.dry_run"))
@click.option("--show", metavar="ID", help=say("help.rollback.show"))
@click.option("--format", "form", type=click.Choice(["markdown", "yaml", "json"]), help=say("help.rollback.format"))
@click.option("--status-page", is_flag=True, help=say("help.rollback.status_page"))
@click.option("--json", "as_json", is_flag=True, help=say("help.json"))
def command(
    *,
    reason: str | None,
    keep_running: bool,
    keep_workers: bool,
    dry_run: bool,
    show: str | None,
    form: str | None,
    status_page: bool,
    as_json: bool,
) -> int:
    """Roll back, or only print what there is to read."""
    if status_page:
        return _print_status_page()
    if show is not None:
        return _print_report(show, "json" if as_json else form or "markdown")
    if not (reason or "").strip():
        raise click.UsageError(say("switch.reason_needed"))
    wanted = Rollback(
        reason=(reason or "").strip(),
        said_by=actor(),
        include_running=not keep_running,
        keep_workers=keep_workers,
    )
    return carry_out(load_settings(), wanted, dry_run=dry_run, as_json=as_json)


def _print_status_page() -> int:
    with opened_database(load_settings()) as database:
        click.echo(database.read_now(partial(written_status_page, language=language())), nl=False)
    return 0


def _print_report(wanted: str, form: str) -> int:
    with opened_database(load_settings()) as database:
        if wanted == _LAST:
            newest = database.read_now(partial(switches.page, limit=1, cursor=None)).items
            found = newest[0] if newest else None
        else:
            found = database.read_now(partial(switches.find, switch_id=wanted))
    if found is None:
        click.echo(say("switch.no_report"), err=True)
        return FAILED
    _print(found, form)
    return 0


def _print(switch: Switch, form: str) -> None:
    if form == "json":
        print_json(reports.as_json(switch, language()))
        return
    write = reports.as_yaml if form == "yaml" else reports.as_markdown
    click.echo(write(switch, language()), nl=False)
