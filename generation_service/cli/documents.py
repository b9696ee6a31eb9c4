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
from generation_service.cli.folders import in_utf8, named_files
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
@click.option("--multimodal", is_flag=True, help=say("help.programs.multimodal"))
@click.option("--wait", is_flag=True, help=say("help.documents.wait"))
@click.option("--json", "as_json", is_flag=True, help=say("help.json"))
def upload(paths: Sequence[Path], project: str, *, multimodal: bool, wait: bool, as_json: bool) -> int:
    """Exit 0 where every file was taken (and, with --wait, could be read), 1 where one was not."""
    files = [file.path for file in named_files(paths)]
    terminal = Console(stderr=True)
    bars = Progress(console=terminal, transient=True, disable=not terminal.is_terminal)
    with _api() as api, bars as progress:
        sending = progress.track(files, description=say("documents.sending"))
        uploads = [_uploaded(api, path, project, multimodal=multimodal) for path in sending]
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
        document = _read_again(api, document_id)
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


def _read_again(api: Api, document_id: str) -> dict[str, Any]:
    try:
        return api.act("POST", _DOCUMENTS, document_id, "retry")
    except ApiProblem as error:
        if error.code != "document_of_program":
            raise
        program_id = api.look(_DOCUMENTS, document_id)["program_id"]
        raise ApiProblem(error.status, error.code, say("documents.of_program", program_id=program_id)) from error


def _uploaded(api: Api, path: Path, project: str, *, multimodal: bool) -> Upload:
    one = Upload(in_utf8(str(path)), "failed")
    if not path.is_file():  # reading a pipe would wait for somebody who writes into it
        one.code, one.message = "unreadable_file", say("documents.no_regular_file")
        return one
    try:
        answer = api.upload(path, project, f"cli-{uuid4()}", multimodal=multimodal)
        one.document_id, one.duplicate_of = answer["document_id"], answer.get("duplicate_of")
        one.status = "processing"
        if one.duplicate_of:
            _look(api, one)
            one.message = answer["message"]
    except (ApiProblem, TransientError) as error:
        if not api.answered:  # nobody is there: every other file would only wait to hear the same
            raise
        one.status, one.code, one.message = "failed", error.code, error.message
    except OSError as error:
        one.code, one.message = "unreadable_file", error.strerror or type(error).__name__
    return one


def _look(api: Api, one: Upload) -> None:
    status = api.document_status(str(one.document_id))
    one.status, one.code = status["status"], status.get("code")
    one.message = status.get("error") or status.get("message") or ""


def _wait_for(api: Api, one: Upload) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while one.document_id and one.waits:
        _look(api, one)
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
