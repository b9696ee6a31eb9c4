"""`mode`: show which backend jobs get, or say it; on the database directly, so with the API down too."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import click
from rich.table import Table
from sqlalchemy import Connection

from generation_service.cli.operating import actor, opened_database
from generation_service.cli.terminal import console, print_json, say
from generation_service.database import Database
from generation_service.errors import Refused
from generation_service.jobs.model import Json
from generation_service.jobs.routing import rollout_of
from generation_service.settings import Settings, load_settings
from generation_service.switching import audit, operator, switches
from generation_service.switching.audit import Entry
from generation_service.switching.mode import Flag
from generation_service.switching.operator import Effect, ModeWish

_COLUMNS = ("epoch", "type", "since", "said_by", "source", "reason")
_DURABLE = {"rq": True, "background": False, "background_tasks": False}


@click.command("mode", help=say("help.mode"), epilog=say("help.mode.more"))
@click.argument("wanted", required=False, metavar="[rq|background]", type=click.Choice(sorted(_DURABLE)))
@click.option("--reason", help=say("help.mode.reason"))
@click.option("--enabled/--disabled", default=None, help=say("help.mode.enabled"))
@click.option("--carry", type=click.Choice(["nothing", "waiting", "running"]), help=say("help.mode.carry"))
@click.option("--dry-run", is_flag=True, help=say("help.dry_run"))
@click.option("--limit", type=click.IntRange(1, 500), default=10, show_default=True, help=say("help.mode.limit"))
@click.option("--json", "as_json", is_flag=True, help=say("help.json"))
def command(*, reason: str | None, dry_run: bool, limit: int, as_json: bool, **said: Any) -> None:
    """Show the mode where nothing is said about it."""
    settings = load_settings()
    speaks = said["wanted"] is not None or said["enabled"] is not None
    if not speaks and (reason is not None or dry_run or said["carry"]):
        raise click.UsageError(say("mode.needs_word"))
    if speaks and not (reason or "").strip():
        raise click.UsageError(say("mode.needs_reason"))
    with opened_database(settings) as database:
        if speaks:
            effect = _speak(database, _wish(reason or "", **said), settings, dry_run=dry_run)
            _tell(effect, dry_run=dry_run, as_json=as_json)
        else:
            _show(database.read_now(partial(_look, limit=limit)), as_json=as_json)


def _wish(reason: str, *, wanted: str | None, enabled: bool | None, carry: Any) -> ModeWish:
    durable = None if wanted is None else _DURABLE[wanted]
    return ModeWish(
        use_durable_worker=durable, worker_system_enabled=enabled, carry=carry, reason=reason, said_by=actor()
    )


def _speak(database: Database, wish: ModeWish, settings: Settings, *, dry_run: bool) -> Effect:
    """Fulfil the wish and enter it, both in one transaction. A refusal is entered, too."""
    rollout = rollout_of(settings.durable_worker_rollout_percent, settings.durable_worker_projects)
    environment = Flag(settings.use_durable_worker, settings.worker_system_enabled, rollout)
    request = {"use_durable_worker": wish.use_durable_worker, "worker_system_enabled": wish.worker_system_enabled}
    entry = partial(
        Entry, actor=wish.said_by, action="set_mode", reason=wish.reason, request={**request, "carry": wish.carry}
    )

    def unit(connection: Connection) -> Effect:
        effect = (operator.preview if dry_run else operator.fulfil)(connection, wish, environment)
        outcome = "previewed" if dry_run else "done"
        audit.record(connection, entry(outcome=outcome, result=effect.as_json()))
        return effect

    try:
        return database.write_now(unit)
    except Refused as refused:
        refusal = entry(outcome="refused", result={"code": refused.code})
        database.write_now(lambda connection: audit.record(connection, refusal))
        raise


def _look(connection: Connection, limit: int) -> dict[str, Json]:
    found = operator.history(connection, limit=limit).items
    switch = switches.under_way(connection)
    under_way = switches.progress(switch) if switch else None
    return {"now": found[0] if found else None, "history": found, "under_way": under_way}


def _show(seen: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(seen)
        return
    if seen["now"] is None:
        click.echo(say("mode.nothing_said"))
        return
    click.echo(say("mode.now", **seen["now"]))
    if seen["under_way"]:
        click.echo(say("mode.under_way", **seen["under_way"]))
    table = Table(title=say("mode.history"), title_justify="left", box=None, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(say(f"mode.column.{column}"), overflow="fold")
    for one in seen["history"]:
        table.add_row(*(str(one[column]) for column in _COLUMNS))
    console().print(table)


def _tell(effect: Effect, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json({"dry_run": dry_run, **effect.as_json()})
        return
    changed = "mode.would_change" if dry_run else "mode.changed"
    click.echo(say(changed if effect.changed else "mode.unchanged", type=effect.after["type"]))
    for backend, counted in effect.jobs.items():
        click.echo(say("mode.jobs", backend=backend, **counted))
