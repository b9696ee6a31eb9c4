"""`documents`: hand files and folders to a project, see what became of each, find passages, delete."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from generation_service.cli.client import Api, ApiProblem
from generation_service.cli.folders import named_files
from generation_service.cli.tables import STYLES, plain_table
from generation_service.cli.terminal import console, print_json, say, tell
from generation_service.errors import TransientError
from generation_service.settings import load_settings

_DOCUMENTS = "/api/v1/documents"
_STATUSES = ("pending", "processing", "completed", "failed")
_POLL_SECONDS = 0.3
_WAIT_SECONDS = 600.0


@dataclass(slots=True)
class Upload:
    """What became of one file. `status` is the document's own, or `failed` where it was refused."""

    path: str
    status: str
    document_id: str | None = None
    duplicate_of: str | None = None
    code: str | None = None
    message: str = ""

    @property
    def waits(self) -> bool:
        """Whether the service is still reading it."""
        return self.status in {"pending", "processing"}


@click.group("documents", help=say("help.documents"))
def command() -> None:
    """The group of commands about documents."""


@command.command("upload", help=say("help.documents.upload"))
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, readable=True, path_type=Path))
@click.option("--project", required=True, metavar="ID", help=say("help.project"))
@click.option("--wait", is_flag=True, help=say("help.documents.wait"))
@click.option("--json", "as_json", is_flag=True, help=say("help.json"))
def upload(paths: Sequence[Path], project: str, *, wait: bool, as_json: bool) -> int:
    """Exit 0 where every file was taken (and, with --wait, could be read), 1 where one was not."""
    files = [file.path for file in named_files(paths)]
    terminal = Console(stderr=True)
    bars = Progress(console=terminal, transient=True, disable=not terminal.is_terminal)
    with _api() as api, bars as progress:
        uploads = [
            _uploaded(api, path, project) for path in progress.track(files, description=say("documents.sending"))
        ]
        if wait:
            waiting = [one for one in uploads if one.waits]
            for one in progress.track(waiting, description=say("documents.reading")):
                _wait_for(api, one)
    if as_json:
        print_json({"project_id": project, "documents": [asdict(one) for one in uploads]})
    else:
        console().print(_table(uploads))
    return int(any(one.status == "failed" for one in uploads) or not uploads)


@command.command("list", help=say("help.documents.list"))
@click.option("--project", metavar="ID", help=say("help.project"))
@click.option("--status", type=click.Choice(_STATUSES), help=say("help.documents.status"))
@click.option("--json", "as_json", is_flag=True, help=say("help.json"))
def list_documents(project: str | None, status: str | None, *, as_json: bool) -> None:
    """The newest first, all of them."""
    with _api() as api:
        found = list(api.pages(_DOCUMENTS, container_id=project, status=status))
    if as_json:
        print_json({"documents": found})
        return
    table = plain_table("file", "status", "code", "document", "project")
    for one in found:
        shown = (one["file_name"], say(f"document.{one['status']}"), one["code"] or "", one["document_id"])
        table.add_row(*shown, one["container_id"], style=STYLES.get(one["status"], ""))
    console().print(table)


@command.command("search", help=say("help.documents.search"))
@click.argument("question")
@click.option("--project", required=True, metavar="ID", help=say("help.project"))
@click.option("--limit", type=click.IntRange(1, 50), default=5, show_default=True, help=say("help.documents.limit"))
@click.option("--json", "as_json", is_flag=True, help=say("help.json"))
def search(question: str, project: str, limit: int, *, as_json: bool) -> int:
    """Exit 0 where something was found, 1 where nothing was."""
    with _api() as api:
        found = api.look(f"{_DOCUMENTS}/search", container_id=project, q=question, limit=limit)["items"]
    if as_json:
        print_json({"items": found})
    for one in [] if as_json else found:
        console().print(_passage(one), end="\n\n")
    if not found:
        tell("documents.nothing_found")
    return int(not found)


@command.command("delete", help=say("help.documents.delete"))
@click.argument("document_id")
@click.option("--json", "as_json", is_flag=True, help=say("help.json"))
def delete(document_id: str, *, as_json: bool) -> None:
    """Delete one document, and say what was generated from it."""
    with _api() as api:
        gone = api.act("DELETE", _DOCUMENTS, document_id)
    if as_json:
        print_json(gone)
        return
    click.echo(gone["message"])
    for one in gone["generated"]:
        click.echo(f"  {one['project_id']} {one['number']}: {one['title']}")


@command.command("retry", help=say("help.documents.retry"))
@click.argument("document_id")
@click.option("--json", "as_json", is_flag=True, help=say("help.json"))
def retry(document_id: str, *, as_json: bool) -> None:
    """Have a document that failed read again."""
    with _api() as api:
        document = api.act("POST", _DOCUMENTS, document_id, "retry")
    if as_json:
        print_json(document)
    else:
        click.echo(document["message"])


def _api() -> Api:
    return Api.from_settings(load_settings())


def _passage(found: Mapping[str, Any]) -> Text:
    """A passage under its origin, with what matched in bold."""
    origin = ", ".join(str(part) for part in (found["file_name"], found["heading"], found["page"]) if part)
    text = Text(f"{origin}\n", style="cyan")
    passage = Text(found["text"], style="default")
    for place in found["highlights"]:
        passage.stylize("bold", place["start"], place["end"])
    return text.append_text(passage)


def _uploaded(api: Api, path: Path, project: str) -> Upload:
    try:
        answer = api.upload(path, project, f"cli-{uuid4()}")
    except (ApiProblem, TransientError) as error:
        if not api.answered:  # nobody is there: every other file would only wait to hear the same
            raise
        return Upload(str(path), "failed", code=error.code, message=error.message)
    except OSError as error:
        return Upload(str(path), "failed", code="unreadable_file", message=error.strerror or type(error).__name__)
    duplicate_of = answer.get("duplicate_of")
    message = answer["message"] if duplicate_of else ""
    return Upload(
        str(path), "processing", document_id=answer["document_id"], duplicate_of=duplicate_of, message=message
    )


def _wait_for(api: Api, one: Upload) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while one.document_id and one.waits:
        status = api.document_status(one.document_id)
        one.status, one.code = status["status"], status.get("code")
        one.message = status.get("error") or status.get("message") or ""
        if one.waits and time.monotonic() > deadline:
            one.status, one.message = "failed", say("documents.too_long")
        elif one.waits:
            time.sleep(_POLL_SECONDS)


def _table(uploads: Sequence[Upload]) -> Table:
    table = plain_table("file", "status", "code", "document")
    for one in uploads:
        said = one.document_id or ""
        if one.message and (one.status == "failed" or one.duplicate_of):
            said = f"{said} {one.message}".strip()
        style = STYLES.get(one.status, "")
        table.add_row(one.path, say(f"document.{one.status}"), one.code or "", said, style=style)
    return table
