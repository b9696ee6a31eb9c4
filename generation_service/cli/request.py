"""What `generate` sends: a body from a file, its gaps and corrections from the options."""

import json
from typing import Any, BinaryIO

import click

from generation_service.cli.terminal import say
from generation_service.pipeline import recipes
from generation_service.pipeline.recipes.risk_report import RiskReport


def request_body(
    *,
    project: str | None,
    recipe: str | None,
    corp: str | None,
    priority: str | None,
    input_file: BinaryIO | None,
    **details: str | None,
) -> dict[str, Any]:
    """The body of POST /api/generation. Raises click.UsageError where it could not be one.

    `input_file` holds such a body as JSON; what the options say goes before it. `details` (title, synopsis,
    instructions, language) go where the recipe has its input.
    """
    body = _read(input_file) if input_file else {}
    said = {"project_id": project, "recipe": recipe, "corp_id": corp, "priority": priority}
    body.update({name: value for name, value in said.items() if value is not None})
    if "corp_id" in body:
        body.setdefault("recipe", RiskReport.name)
    chosen = _recipe(body)
    own = _own_input(body, chosen)
    own.update({name: value for name, value in details.items() if value is not None})
    if "project_id" not in body and "corp_id" not in body:
        raise click.UsageError(say("generate.needs_project"))
    if chosen and chosen.needs_title and "title" not in own:
        raise click.UsageError(say("generate.needs_title"))
    return body


def _recipe(body: dict[str, Any]) -> recipes.Recipe | None:
    """The recipe of a body; None for one that only the service may know."""
    name = body.get("recipe") or recipes.DEFAULT
    return recipes.RECIPES.get(name) if isinstance(name, str) else None


def _own_input(body: dict[str, Any], recipe: recipes.Recipe | None) -> dict[str, Any]:
    """The part of the body that holds the recipe's own input, made where it is not there."""
    if recipe is None or recipe.input_field is None:
        return body
    own = body.setdefault(recipe.input_field, {})
    if not isinstance(own, dict):
        raise click.UsageError(say("generate.bad_input"))
    return own


def _read(file: BinaryIO) -> dict[str, Any]:
    try:
        body = json.load(file)
    except ValueError as error:
        raise click.UsageError(say("generate.bad_input")) from error
    if not isinstance(body, dict):
        raise click.UsageError(say("generate.bad_input"))
    return body
