"""`documents upload`: hand files and folders to a project, and see what became of each."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from generation_service.cli.client import Api, ApiProblem
from generation_service.cli.terminal import console, print_json, say
from generation_service.errors import TransientError
from generation_service.settings import load_settings

_POLL_SECONDS = 0.3
_WAIT_SECONDS = 600.0


@dataclass(slots=True)
class Upload:
    """What became of one file. `status` is the document's own, or `failed` where it was refused."""

    path: str
    status: str
    document_id: str | None = None
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
    files = list(_files(paths))
    terminal = Console(stderr=True)
    bars = Progress(console=terminal, transient=True, disable=not terminal.is_terminal)
    with Api.from_settings(load_settings()) as api, bars as progress:
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


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """Files as given, folders with all that is in them; hidden files are left out."""
    for path in paths:
        if path.is_dir():
            yield from sorted(
                file
                for file in path.rglob("*")
                if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
            )
        else:
            yield path


def _uploaded(api: Api, path: Path, project: str) -> Upload:
    try:
        answer = api.upload(path, project, f"cli-{uuid4()}")
    except (ApiProblem, TransientError) as error:
        if not api.answered:  # nobody is there: every other file would only wait to hear the same
            raise
        return Upload(str(path), "failed", code=error.code, message=error.message)
    except OSError as error:
        return Upload(str(path), "failed", code="unreadable_file", message=error.strerror or type(error).__name__)
    return Upload(str(path), "processing", document_id=answer["document_id"])


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
    table = Table(box=None, pad_edge=False)
    for heading in ("file", "status", "code", "document"):
        table.add_column(say(f"documents.{heading}"), overflow="fold")
    for one in uploads:
        style = {"completed": "green", "failed": "red"}.get(one.status, "")
        said = one.document_id or ""
        if one.status == "failed" and one.message:
            said = f"{said} {one.message}".strip()
        table.add_row(one.path, say(f"document.{one.status}"), one.code or "", said, style=style)
    return table
