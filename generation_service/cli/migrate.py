"""`migrate`: bring the database's schema to this version, say which it has, or take migrations back."""

import sys

import click
from alembic.util import CommandError

from generation_service.cli.terminal import open_database, print_json, say
from generation_service.database import Database, schema
from generation_service.errors import ConfigurationError
from generation_service.settings import load_settings


@click.command("migrate", help=say("help.migrate"))
@click.option("--current", is_flag=True, help=say("help.migrate.current"))
@click.option("--down", type=click.IntRange(1), metavar="N", help=say("help.migrate.down"))
@click.option("--yes", is_flag=True, help=say("help.yes"))
@click.option("--json", "as_json", is_flag=True, help=say("help.json"))
def command(*, current: bool, down: int | None, yes: bool, as_json: bool) -> None:
    """Change the schema, or only say its version."""
    if current and down:
        raise click.UsageError(say("migrate.one_of"))
    database = open_database(load_settings())
    try:
        before = schema.current_version(database)
        if down and not yes and sys.stdin.isatty():
            click.confirm(say("migrate.confirm", count=down), abort=True, err=True)
        after = before if current else _change(database, down)
    finally:
        database.close()
    report = {"before": before, "after": after, "needed": schema.newest_version()}
    if as_json:
        print_json(report)
    else:
        click.echo(_sentence(report, only_asked=current))


def _change(database: Database, down: int | None) -> str:
    try:
        return schema.downgrade(database, down) if down else schema.migrate(database)
    except CommandError as error:  # Alembic's word for a version it does not know, or too many steps back
        raise ConfigurationError(say("migrate.impossible", reason=error)) from error


def _sentence(report: dict[str, str], *, only_asked: bool) -> str:
    shown = {name: version or say("migrate.empty") for name, version in report.items()}
    if only_asked:
        return say("migrate.current", **shown)
    return say("migrate.unchanged" if report["before"] == report["after"] else "migrate.changed", **shown)
