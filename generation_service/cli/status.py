"""`status`: jobs, queues and workers of both backends at a glance, once or again and again."""

import time
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from generation_service.cli.overview import Report, overview
from generation_service.cli.terminal import console, missing_sqlite_file, open_database, print_json, say
from generation_service.database import Database, schema
from generation_service.errors import ConfigurationError, DatabaseUnavailable
from generation_service.jobs.model import BACKENDS
from generation_service.settings import Settings, load_settings

_STATUSES = ("pending", "running", "completed", "failed", "cancelled")


@click.command("status", help=say("help.status"))
@click.option("--watch", is_flag=True, help=say("help.status.watch"))
@click.option("--every", type=click.FloatRange(min=0.2), default=2.0, show_default=True, help=say("help.status.every"))
@click.option("--json", "as_json", is_flag=True, help=say("help.json"))
def command(*, watch: bool, every: float, as_json: bool) -> None:
    """Print once; with --watch go on until Ctrl+C (with --json a line each time)."""
    settings = load_settings()
    if missing_sqlite_file(settings):
        raise ConfigurationError(say("status.no_tables"))
    database = open_database(settings)
    try:
        if not schema.current_version(database):
            raise ConfigurationError(say("status.no_tables"))
        if watch and not as_json:
            _watch(settings, database, every)
            return
        while True:
            report = overview(settings, database)
            if as_json:
                print_json(report)
            else:
                console().print(picture(report))
            if not watch:
                return
            time.sleep(every)
    finally:
        database.close()


def _watch(settings: Settings, database: Database, every: float) -> None:
    with Live(console=console(), screen=True, auto_refresh=False) as live:
        while True:
            try:
                live.update(picture(overview(settings, database)), refresh=True)
            except DatabaseUnavailable as error:  # an outage is what one watches for
                live.update(Text(error.message, "red"), refresh=True)
            time.sleep(every)


def picture(report: Report) -> Group:
    """The report, for a person."""
    return Group(
        _mode(report["mode"]),
        _jobs(report["jobs"]),
        Text(say("overview.oldest", seconds=report["oldest_waiting_seconds"])),
        _rows(report["running"], "running", ("job_id", "backend", "progress", "running_seconds", "holder")),
        *_redis(report["redis"]),
        _ledger(report["ledger"]),
    )


def _mode(mode: Report | None) -> Text:
    if mode is None:
        return Text(say("overview.no_mode"))
    return Text(say("overview.mode", **mode), "bold")


def _jobs(counted: Mapping[str, Mapping[str, int]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(say("overview.backend"))
    for status in _STATUSES:
        table.add_column(say(f"status.{status}"), justify="right")
    for backend in BACKENDS:
        table.add_row(backend, *(str(counted.get(backend, {}).get(status, 0)) for status in _STATUSES))
    return table


def _redis(redis: Report) -> list[Any]:
    if not redis["reachable"]:
        return [Text(say("overview.no_redis", error=redis["error"]), "yellow")]
    queues = [{"queue": name, **depths} for name, depths in redis["queues"].items()]
    parts: list[Any] = [
        _rows(queues, "queues", ("queue", "waiting", "popped", "running")),
        _rows(redis["workers"], "workers", ("name", "state", "succeeded", "failed", "last_heartbeat")),
    ]
    return [Text(say("overview.suspended"), "yellow"), *parts] if redis["suspended"] else parts


def _ledger(ledger: Report) -> Text:
    return Text(say("overview.ledger", **ledger), "green" if ledger["clean"] else "bold red")


def _rows(rows: list[Report], name: str, columns: tuple[str, ...]) -> Table | Text:
    if not rows:
        return Text(say(f"overview.none.{name}"), "dim")
    table = Table(title=say(f"overview.{name}"), title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(say(f"overview.{column}"), overflow="fold")
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    return table
