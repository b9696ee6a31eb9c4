"""`reindex`: begin, or go on with, the index of vectors; on the database directly, so with the API down too."""

from dataclasses import asdict
from typing import Any

import click
from rich.table import Table
from sqlalchemy import Connection

from generation_service.cli.operating import opened_database
from generation_service.cli.terminal import console, print_json, say
from generation_service.errors import ConfigurationError
from generation_service.jobs.submission import Admission
from generation_service.retrieval import generations, request_reindex
from generation_service.settings import load_settings

_COLUMNS = ("model", "dimension", "status", "missing")


@click.command("reindex", help=say("help.reindex"))
@click.option("--anew", is_flag=True, help=say("help.reindex.anew"))
@click.option("--json", "as_json", is_flag=True, help=say("help.json"))
def command(*, anew: bool, as_json: bool) -> None:
    """Submit the job, whoever delivers it, and show the generations of the index."""
    settings = load_settings()
    model = settings.embedding_model
    if model is None:
        raise ConfigurationError(say("reindex.no_model"))
    admission = Admission(
        max_live=settings.max_live_jobs,
        max_live_per_user=settings.max_live_jobs_per_user,
        max_attempts=settings.max_attempts,
    )
    with opened_database(settings) as database:
        job = database.write_now(lambda connection: request_reindex(connection, model, admission, anew=anew))
        found = database.read_now(_look)
    if as_json:
        print_json({"job_id": job.id if job else None, "generations": found})
        return
    click.echo(say("reindex.submitted", job_id=job.id, model=model) if job else say("reindex.nothing"))
    console().print(_table(found))


def _look(connection: Connection) -> list[dict[str, Any]]:
    return [
        {**asdict(one), "missing": generations.missing(connection, one.id)} for one in generations.in_use(connection)
    ]


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(say(f"reindex.{column}"), overflow="fold")
    for one in found:
        status = say(f"reindex.{one['status']}")
        table.add_row(one["model"], str(one["dimension"] or "-"), status, str(one["missing"]))
    return table
