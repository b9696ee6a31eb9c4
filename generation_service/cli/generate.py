"""`generate`: submit a generation, follow it, print the text and say where it is saved."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
from rich.console import Console

from generation_service.cli.client import Api, ApiProblem
from generation_service.cli.follow import follow
from generation_service.cli.progress import display_for
from generation_service.cli.reading import Reading
from generation_service.cli.request import request_body
from generation_service.cli.terminal import print_json, say, tell
from generation_service.settings import load_settings

_FAILED = 1
_INTERRUPTED = 130


@click.command("generate", help=say("help.generate"), epilog=say("help.generate.more"))
@click.option("--project", metavar="ID", help=say("help.project"))
@click.option("--title", metavar="TEXT", help=say("help.generate.title"))
@click.option("--recipe", metavar="NAME", help=say("help.generate.recipe"))
@click.option("--synopsis", metavar="TEXT", help=say("help.generate.synopsis"))
@click.option("--instructions", metavar="TEXT", help=say("help.generate.instructions"))
@click.option("--language", metavar="ko|en", help=say("help.generate.language"))
@click.option("--corp", metavar="ID", help=say("help.generate.corp"))
@click.option("--input", "input_file", type=click.File("rb"), metavar="FILE.json", help=say("help.generate.input"))
@click.option("--priority", type=click.Choice(["high", "default", "low"]), help=say("help.generate.priority"))
@click.option("--key", metavar="KEY", help=say("help.generate.key"))
@click.option("--follow", "job_id", metavar="JOB_ID", help=say("help.generate.follow"))
@click.option("--no-follow", is_flag=True, help=say("help.generate.no_follow"))
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["markdown", "fountain", "docx", "json"]),
    default="markdown",
    show_default=True,
    help=say("help.generate.format"),
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help=say("help.generate.output"))
@click.option("--json", "as_json", is_flag=True, help=say("help.json"))
def command(
    *,
    job_id: str | None,
    key: str | None,
    no_follow: bool,
    file_format: str,
    output: Path | None,
    as_json: bool,
    **wanted: Any,
) -> int:
    """Exit 0 once the text is there (or, with --no-follow, accepted), 1 where the job failed or was cancelled.

    Of a job that was pruned the text is left, and nothing to follow.
    """
    body = None if job_id else request_body(**wanted)
    if file_format == "docx" and output is None and not no_follow and (as_json or sys.stdout.isatty()):
        raise click.UsageError(say("generate.docx_needs_output"))
    with Api.from_settings(load_settings()) as api:
        try:
            job = api.job(job_id) if job_id else api.submit(body or {}, key or f"cli-{uuid4()}")
        except ApiProblem as problem:
            if job_id is None or no_follow or problem.code != "job_pruned":
                raise
            return _write(api, job_id, None, file_format, output, as_json=as_json)
        if no_follow:
            _say_accepted(job, as_json=as_json)
            return 0
        try:
            job = _followed(api, job)
        except KeyboardInterrupt:
            tell("generate.goes_on", job_id=job["job_id"])
            return _INTERRUPTED
        return _report(api, job, file_format, output, as_json=as_json)


def _followed(api: Api, job: Mapping[str, Any]) -> dict[str, Any]:
    """Show the job until it has ended; the resource it then is."""
    reading = Reading()
    title = str(job.get("project_id") or job["job_id"])
    with display_for(Console(stderr=True), f"{title}  {job['job_id']}") as display:
        for event in follow(api, job["job_id"]):
            reading.take(event)
            display.show(event, reading)
    return api.job(job["job_id"])


def _report(api: Api, job: dict[str, Any], file_format: str, output: Path | None, *, as_json: bool) -> int:
    if job["status"] != "completed":
        if as_json:
            print_json({"job": job, "text": None, "saved_to": None})
        tell(f"generate.{job['status']}", reason=(job.get("error") or {}).get("message", ""), job_id=job["job_id"])
        return _FAILED
    return _write(api, job["job_id"], job, file_format, output, as_json=as_json)


def _write(
    api: Api, job_id: str, job: Mapping[str, Any] | None, file_format: str, output: Path | None, *, as_json: bool
) -> int:
    """Put the text where it is wanted; `job` is None where it was pruned."""
    written = api.result(job_id, file_format)
    if output:
        output.write_bytes(written)
    if as_json:
        text = None if file_format == "docx" else written.decode()
        saved_to = str(output) if output else None
        print_json(
            {"job": job, "text": json.loads(text) if text and file_format == "json" else text, "saved_to": saved_to}
        )
        return 0
    if not (output and file_format == "docx"):
        _print_text(written)
    _say_saved(api, job or {}, output)
    return 0


def _print_text(written: bytes) -> None:
    sys.stdout.buffer.write(written if written.endswith(b"\n") else written + b"\n")
    sys.stdout.buffer.flush()


def _say_saved(api: Api, job: Mapping[str, Any], output: Path | None) -> None:
    # With a file of its own, standard output is for reading; without one it is the text and nothing else.
    result = job.get("result") or {}
    if result.get("episode_number") is not None:
        url = f"{api.url}/api/projects/{job['project_id']}/episodes/{result['episode_number']}"
        episode = say("generate.saved_episode", number=result["episode_number"], project=job["project_id"], url=url)
        click.echo(episode, err=output is None)
    if output:
        click.echo(say("generate.saved_file", path=output))


def _say_accepted(job: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json({"job": job, "text": None, "saved_to": None})
    else:
        click.echo(say("generate.accepted", job_id=job["job_id"]))
