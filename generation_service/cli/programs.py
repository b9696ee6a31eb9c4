"""`programs`: hand over a batch of files, see what became of each, retry what failed."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn

from generation_service.cli.client import Api
from generation_service.cli.folders import Named, in_utf8, named_files
from generation_service.cli.program_form import ProgramForm
from generation_service.cli.tables import STYLES, plain_table
from generation_service.cli.terminal import console, print_json, say, tell
from generation_service.settings import load_settings

_PROGRAMS = "/v1/programs"
_STATUSES = ("pending", "processing", "completed", "failed")
_POLL_SECONDS = 0.5
_SETTLING_SECONDS = 20.0  # files that failed for a passing reason are tried once more within so long

_json = click.option("--json", "as_json", is_flag=True, help=say("help.json"))
_user = click.option("--user", metavar="ID", help=say("help.programs.user"))


@click.group("programs", help=say("help.programs"))
def command() -> None:
    """The group of commands about programs."""


@command.command("upload", help=say("help.programs.upload"))
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--project", metavar="ID", help=say("help.programs.project"))
@_user
@click.option("--multimodal", is_flag=True, help=say("help.programs.multimodal"))
@click.option("--wait", is_flag=True, help=say("help.programs.wait"))
@_json
def upload(
    paths: Sequence[Path], project: str | None, user: str | None, *, multimodal: bool, wait: bool, as_json: bool
) -> int:
    """Exit 0 where every file was taken (and, with --wait, could be read), 1 where one was not."""
    files, unreadable = _readable(list(named_files(paths)))
    for file in unreadable:
        tell("programs.unreadable", path=in_utf8(str(file.path)))
    if not files:
        tell("programs.no_files")
        return 1
    fields = {"container_id": project, "user_id": user, "use_multimodal": "true" if multimodal else None}
    with _api() as api:
        program = _sent(api, files, {name: value for name, value in fields.items() if value is not None})
        if wait:
            program = _followed(api, program["program_id"], user)
        duplicates = 0 if as_json else _duplicates(api, program["program_id"], user)
    _print(program, as_json=as_json)
    if duplicates:
        click.echo(say("programs.duplicates", count=duplicates, program_id=program["program_id"]))
    if program["status"] == "processing":
        tell("programs.follow", program_id=program["program_id"])
    return int(bool(unreadable or program["files"]["failed"]))


@command.command("list", help=say("help.programs.list"))
@_user
@_json
def list_programs(user: str | None, *, as_json: bool) -> None:
    """The newest first, all of them."""
    with _api() as api:
        found = list(api.pages(_PROGRAMS, user_id=user))
    if as_json:
        print_json({"programs": found})
        return
    table = plain_table("program", "status", "completed", "failed", "total", "project")
    for one in found:
        counts = (str(one["files"][name]) for name in ("completed", "failed", "total"))
        table.add_row(one["program_id"], say(f"document.{one['status']}"), *counts, one["container_id"])
    console().print(table)


@command.command("show", help=say("help.programs.show"))
@click.argument("program_id")
@_user
@_json
def show(program_id: str, user: str | None, *, as_json: bool) -> None:
    """What became of a program's files, and why some failed."""
    with _api() as api:
        _print(api.look(_PROGRAMS, program_id, user_id=user), as_json=as_json)


@command.command("files", help=say("help.programs.files"))
@click.argument("program_id")
@click.option("--status", type=click.Choice(_STATUSES), help=say("help.documents.status"))
@_user
@_json
def list_files(program_id: str, status: str | None, user: str | None, *, as_json: bool) -> None:
    """Every file of a program in its order."""
    with _api() as api:
        found = list(api.pages(_PROGRAMS, program_id, "files", status=status, user_id=user))
    if as_json:
        print_json({"files": found})
        return
    table = plain_table("index", "file", "status", "code", "document")
    for one in found:
        told = one["error"] or one["document_id"] or ""
        if one["duplicate_of"]:
            told = f"{told} {say('programs.duplicate_of', document_id=one['duplicate_of'])}".strip()
        row = (str(one["index"]), one["file_path"], say(f"document.{one['status']}"), one["code"] or "", told)
        table.add_row(*row, style=STYLES.get(one["status"], ""))
    console().print(table)


@command.command("retry", help=say("help.programs.retry"))
@click.argument("program_id")
@click.option(
    "--type",
    "retry_type",
    type=click.Choice(("all", "preprocessing", "document")),
    default="all",
    show_default=True,
    help=say("help.programs.type"),
)
@click.option("--wait", type=click.IntRange(0, 60), metavar="SECONDS", help=say("help.programs.retry.wait"))
@_user
@_json
def retry(program_id: str, retry_type: str, wait: int | None, user: str | None, *, as_json: bool) -> int:
    """Exit 1 where the retry is over and a file failed again."""
    with _api() as api:
        made = api.act("POST", _PROGRAMS, program_id, "retry", retry_type=retry_type, wait=wait, user_id=user)
    if as_json:
        print_json(made)
    else:
        click.echo(made["message"])
        for one in (*made["failed"], *made["skipped"]):
            click.echo(f"  {one['index']} {one['file_path']}: {one['message']}")
    return int(made["status"] == "completed" and any(counts["failed"] for counts in made["results"].values()))


@command.command("retry-stats", help=say("help.programs.retry_stats"))
@_user
@_json
def retry_stats(user: str | None, *, as_json: bool) -> None:
    """How retries ended, all programs together."""
    with _api() as api:
        stats = api.look(f"{_PROGRAMS}/retry-stats", user_id=user)
    if as_json:
        print_json(stats)
    else:
        click.echo(say("programs.stats", **{**stats, "percent": f"{stats['retry_success_rate']:.0%}"}))


@command.command("delete", help=say("help.programs.delete"))
@click.argument("program_id")
@_user
@_json
def delete(program_id: str, user: str | None, *, as_json: bool) -> None:
    """Delete a program; documents that are read stay."""
    with _api() as api:
        gone = api.act("DELETE", _PROGRAMS, program_id, user_id=user)
    if as_json:
        print_json(gone)
    else:
        click.echo(gone["message"])


def _api() -> Api:
    return Api.from_settings(load_settings())


def _readable(files: Sequence[Named]) -> tuple[list[Named], list[Named]]:
    """Files that can be read, and what cannot (a pipe can only be waited for): it must not cut the others' form."""
    sorted_: tuple[list[Named], list[Named]] = [], []
    for file in files:
        sorted_[not _opens(file.path)].append(file)
    return sorted_


def _opens(path: Path) -> bool:
    try:
        if path.is_file():
            path.open("rb").close()
            return True
    except OSError:
        pass
    return False


def _duplicates(api: Api, program_id: str, user: str | None) -> int:
    files = api.pages(_PROGRAMS, program_id, "files", user_id=user)
    return sum(one["duplicate_of"] is not None for one in files)


def _sent(api: Api, files: Sequence[Named], fields: Mapping[str, str]) -> dict[str, Any]:
    with _bars(DownloadColumn()) as progress:
        task = progress.add_task(say("documents.sending"), total=sum(file.path.stat().st_size for file in files))
        form = ProgramForm(files, fields, lambda count: progress.advance(task, count))
        return api.upload_program(form, f"cli-{uuid4()}")


def _followed(api: Api, program_id: str, user: str | None) -> dict[str, Any]:
    """The program once nothing of it is under way, the first retry that comes by itself included."""
    settling_since: float | None = None
    with _bars(TaskProgressColumn()) as progress:
        task = progress.add_task(say("documents.reading"), total=100)
        while True:
            program = api.look(_PROGRAMS, program_id, user_id=user)
            progress.update(task, completed=program["progress"])
            if program["status"] == "processing":
                settling_since = None
            elif program["completed_at"] is not None or not program["files"]["failed"]:
                return program
            else:
                settling_since = settling_since or time.monotonic()
                if time.monotonic() - settling_since > _SETTLING_SECONDS:
                    return program
            time.sleep(_POLL_SECONDS)


def _bars(figures: DownloadColumn | TaskProgressColumn) -> Progress:
    terminal = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), figures)
    return Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal)


def _message(program: Mapping[str, Any]) -> str:
    """The program's own sentence; of failures one that names the command, where the service's names the route."""
    counts = program["files"]
    if program["status"] == "processing" or not counts["failed"]:
        return str(program["message"])
    return say("programs.partial", **counts, program_id=program["program_id"])


def _print(program: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(program)
        return
    click.echo(f"{program['program_id']}: {_message(program)}")
    metadata = program["metadata_json"]
    unread = [(one["index"], one["file_path"], one) for one in metadata["preprocessing"]["failed_files"]]
    unstored = [
        (one["source_index"], one["source_file_path"], one) for one in metadata["document_storage"]["failed_files"]
    ]
    if not unread and not unstored:
        return
    table = plain_table("index", "file", "code", "what_to_do")
    for index, name, one in sorted(unread + unstored, key=lambda row: row[0]):
        table.add_row(str(index), name, one["code"] or "", one["error"], style=STYLES["failed"])
    console().print(table)
