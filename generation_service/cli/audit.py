"""`audit`: show who did what, or verify that nobody has touched the record; on the database directly."""

import re
from functools import partial

import click
from rich.table import Table

from generation_service.cli.operating import opened_database
from generation_service.cli.terminal import console, print_json, say
from generation_service.jobs.model import Json
from generation_service.settings import load_settings
from generation_service.switching import audit
from generation_service.switching.audit import Head, Verdict

_COLUMNS = ("sequence", "at", "actor", "action", "outcome", "reason")
_NOTED = re.compile(r"(\d{1,18}):([0-9a-f]{64})")


@click.group("audit", help=say("help.audit"), invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List where nothing else is asked."""
    if context.invoked_subcommand is None:
        context.invoke(list_entries)


@command.command("list", help=say("help.audit.list"))
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help=say("help.audit.limit"))
@click.option("--json", "as_json", is_flag=True, help=say("help.json"))
def list_entries(*, limit: int = 20, as_json: bool = False) -> None:
    """Print the newest entries, the newest first."""
    with opened_database(load_settings()) as database:
        page = database.read_now(partial(audit.page, limit=limit, cursor=None))
    if as_json:
        items: list[Json] = [{**row, "at": row["at"].isoformat()} for row in page.items]
        print_json({"items": items, "next_cursor": page.next_cursor})
        return
    if not page.items:
        click.echo(say("audit.none"))
        return
    table = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(say(f"audit.column.{column}"), overflow="fold")
    for row in page.items:
        table.add_row(*(str(row[column]) for column in _COLUMNS))
    console().print(table)


@command.command("verify", help=say("help.audit.verify"))
@click.option("--noted", metavar="SEQUENCE:DIGEST", help=say("help.audit.noted"))
@click.option("--json", "as_json", is_flag=True, help=say("help.json"))
def verify(*, noted: str | None, as_json: bool) -> int:
    """Exit 0 where the record is as it was written, 1 where it is not."""
    head = _noted(noted)
    with opened_database(load_settings()) as database:
        verdict = database.read_now(partial(audit.verify, noted=head))
    if as_json:
        print_json(verdict.as_json())
    else:
        click.echo(_sentence(verdict), err=not verdict.intact)
    return 0 if verdict.intact else 1


def _noted(given: str | None) -> Head | None:
    if given is None:
        return None
    found = _NOTED.fullmatch(given.strip())
    if found is None:
        raise click.UsageError(say("audit.bad_noted"))
    return Head(sequence=int(found.group(1)), digest=found.group(2))


def _sentence(verdict: Verdict) -> str:
    if verdict.intact:
        head = verdict.head
        return say("audit.intact", entries=verdict.entries, sequence=head.sequence, digest=head.digest)
    why = say(f"audit.why.{verdict.why}")
    return say("audit.broken", broken_at=verdict.broken_at, why=why, entries=verdict.entries)
