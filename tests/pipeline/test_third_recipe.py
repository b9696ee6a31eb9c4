"""A third recipe is a class and its entry in RECIPES: the service generates it, the command line asks for it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import click
import pytest

from generation_service.cli.request import request_body
from generation_service.database import Database
from generation_service.jobs.model import Json
from generation_service.pipeline import recipes
from generation_service.pipeline.kind import STEPS
from generation_service.pipeline.recipes.base import Brief, GenerationRequest, Input, Recipe, Title
from generation_service.pipeline.recipes.risk_report import RiskSignal
from generation_service.pipeline.rendering import render
from generation_service.texts import Language
from tests.pipeline.harness import Pipeline, add_text, job_for

WORDS: Mapping[Language, str] = {"ko": "편지를 써라.", "en": "Write a letter."}


class LetterRequest(GenerationRequest):
    title: Title
    language: Language | None = None


class Letter(Recipe):
    """A letter, whose input stands in the request itself."""

    name = "letter"
    form = "report"
    request = LetterRequest
    signal = RiskSignal  # what a report is drafted from
    prompts = MappingProxyType(dict.fromkeys(("signals", "validation", "insight"), WORDS))

    def language(self, request: Mapping[str, Json]) -> Language | None:
        return request.get("language")

    def brief(self, request: Mapping[str, Json], language: Language) -> Brief:
        return Brief(title=request["title"])

    def structured(self, text: str, known: frozenset[str], language: Language) -> dict[str, Json]:
        return {"warnings": []}


class NoteInput(Input):
    text: str = ""


class NoteRequest(GenerationRequest):
    note: NoteInput


class Note(Letter):
    """A note, whose input has a field of its own, and no title."""

    name = "note"
    request = NoteRequest
    input_field = "note"


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    more = {recipe.name: recipe for recipe in (Letter(), Note())}
    monkeypatch.setattr(recipes, "RECIPES", {**recipes.RECIPES, **more})


def body_of(**said: str) -> dict[str, Any]:
    options: Sequence[str] = ("project", "recipe", "corp", "priority", "title", "synopsis", "instructions", "language")
    return request_body(input_file=None, **{**dict.fromkeys(options), **said})


async def test_it_is_generated_offline_from_the_documents(database: Database) -> None:
    add_text(database, "p", "notes.txt", "The debt has doubled within a year, and the bank has asked for its loan.")
    pipeline = Pipeline(database)

    outputs = await pipeline.run(job_for(body_of(project="p", recipe="letter", title="To the bank", language="en")))

    assert tuple(outputs) == STEPS
    assert "The debt has doubled" in render(outputs["insight"], "markdown").body.decode()


def test_the_command_line_puts_a_title_where_the_recipe_has_its_input() -> None:
    assert body_of(project="p", recipe="letter", title="t") == {"project_id": "p", "recipe": "letter", "title": "t"}
    note = {"project_id": "p", "recipe": "note", "note": {"instructions": "i"}}
    assert body_of(project="p", recipe="note", instructions="i") == note
    assert body_of(project="p", title="t") == {"project_id": "p", "episode_data": {"title": "t"}}


@pytest.mark.parametrize("recipe", ["script", "letter"])
def test_the_command_line_asks_for_a_title_where_the_recipe_needs_one(recipe: str) -> None:
    with pytest.raises(click.UsageError):
        body_of(project="p", recipe=recipe)
