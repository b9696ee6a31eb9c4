"""What `generate` sends: a body from a file, its gaps and corrections from the options."""

import json
from typing import Any, BinaryIO

import click

from generation_service.cli.terminal import say


def request_body(
    *,
    project: str | None,
    title: str | None,
    recipe: str | None,
    corp: str | None,
    priority: str | None,
    input_file: BinaryIO | None,
    **episode: str | None,
) -> dict[str, Any]:
    """The body of POST /api/generation. Raises click.UsageError where it could not be one.

    `input_file` holds such a body as JSON; what the options say goes before it. `episode` (synopsis,
    instructions, language) belongs to `episode_data`, or beside `corp_id` for a report on a company.
    """
    body = _read(input_file) if input_file else {}
    said = {"project_id": project, "recipe": recipe, "corp_id": corp, "priority": priority}
    body.update({name: value for name, value in said.items() if value is not None})
    details = {name: value for name, value in {"title": title, **episode}.items() if value is not None}
    if "corp_id" in body:
        body.setdefault("recipe", "risk_report")
        body.update(details)
    else:
        body["episode_data"] = {**(body.get("episode_data") or {}), **details}
    if "project_id" not in body and "corp_id" not in body:
        raise click.UsageError(say("generate.needs_project"))
    if "corp_id" not in body and "title" not in body["episode_data"]:
        raise click.UsageError(say("generate.needs_title"))
    return body


def _read(file: BinaryIO) -> dict[str, Any]:
    try:
        body = json.load(file)
    except ValueError as error:
        raise click.UsageError(say("generate.bad_input")) from error
    if not isinstance(body, dict):
        raise click.UsageError(say("generate.bad_input"))
    return body
