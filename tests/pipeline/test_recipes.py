"""What a request may say, recipe by recipe."""

from typing import Any

import pytest
from pydantic import ValidationError

from generation_service.errors import Refused
from generation_service.pipeline import recipes
from generation_service.pipeline.recipes.base import GenerationRequest

SCRIPT: dict[str, Any] = {"project_id": "p1", "episode_data": {"title": "밤"}}
REPORT: dict[str, Any] = {"recipe": "risk_report", "project_id": "p1", "corp_id": "8001-1"}


def validated(body: dict[str, Any]) -> GenerationRequest:
    return recipes.find(body.get("recipe")).validate(body)


def refused(body: dict[str, Any]) -> set[str]:
    """The kinds of what is wrong with a body."""
    with pytest.raises(ValidationError) as raised:
        validated(body)
    return {error["type"] for error in raised.value.errors()}


def episode(**given: Any) -> dict[str, Any]:
    return {**SCRIPT, "episode_data": {"title": "밤", **given}}


def test_a_title_is_all_that_a_script_needs() -> None:
    asked = validated(SCRIPT)

    assert (asked.project_id, asked.recipe, asked.priority, asked.budget_tokens) == ("p1", "script", "default", None)
    assert asked.stored()["episode_data"]["title"] == "밤"
    assert "project_id" not in asked.stored()


def test_an_unknown_recipe_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(Refused) as raised:
        recipes.find("poem")

    assert (raised.value.code, raised.value.status) == ("unknown_recipe", 422)
    assert raised.value.params == {"recipes": "script, risk_report"}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({**SCRIPT, "colour": "red"}, "extra_forbidden"),
        (episode(colour="red"), "extra_forbidden"),
        ({"project_id": "p1"}, "missing"),
        (episode(title=""), "string_too_short"),
        (episode(title="   "), "string_too_short"),
        (episode(title="a" * 501), "string_too_long"),
        (episode(title="a\x00b"), "string_pattern_mismatch"),
        (episode(title="a\nb"), "string_pattern_mismatch"),
        (episode(title=17), "string_type"),
        (episode(synopsis="a" * 20_001), "string_too_long"),
        (episode(synopsis="a\x07b"), "string_pattern_mismatch"),
        (episode(target_scenes=0), "greater_than_equal"),
        (episode(target_scenes="3"), "int_type"),
        (episode(language="fr"), "literal_error"),
        ({**SCRIPT, "priority": "urgent"}, "literal_error"),
        ({**SCRIPT, "max_attempts": 0}, "greater_than_equal"),
        ({**SCRIPT, "budget_tokens": True}, "int_type"),
        ({**REPORT, "corp_id": "a/b"}, "string_pattern_mismatch"),
        ({**REPORT, "financials": {"debt": [1]}}, "float_type"),
        ({**REPORT, "financials": {"debt": float("nan")}}, "finite_number"),
    ],
)
def test_what_cannot_be_taken_is_refused(body: dict[str, Any], kind: str) -> None:
    assert kind in refused(body)


@pytest.mark.parametrize("odd", ["", "a b", "../x", "a/b", "-x", ".x", "a\n", "a\x00", "<script>", "💥", "a" * 201])
def test_a_project_id_of_odd_characters_is_refused(odd: str) -> None:
    assert refused({**SCRIPT, "project_id": odd})


@pytest.mark.parametrize("good", ["test", "p1", "사극-2부", "a.b_c:d@e", "0" * 200])
def test_a_plain_project_id_is_taken(good: str) -> None:
    assert validated({**SCRIPT, "project_id": good}).project_id == good


def test_longer_texts_may_have_lines() -> None:
    assert validated(episode(synopsis="첫 줄\n\t둘째 줄")).stored()["episode_data"]["synopsis"] == "첫 줄\n\t둘째 줄"


def test_characters_are_names_or_descriptions() -> None:
    asked = validated(episode(characters=["한지수", {"name": "도현", "description": "영사 기사다."}]))

    brief = recipes.find("script").brief(asked.stored(), "ko")

    assert list(brief.people) == ["한지수", "도현"]
    assert list(brief.written) == [("도현", "영사 기사다.")]


def test_a_report_needs_no_project_of_its_own() -> None:
    assert validated({"recipe": "risk_report", "corp_id": "8001-1"}).project_id == "8001-1"


def test_figures_are_shown_as_they_were_given() -> None:
    asked = validated({**REPORT, "corp_name": "한빛", "financials": {"부채": 1234567.5, "비율": "82%", "이자": None}})

    brief = recipes.find("risk_report").brief(asked.stored(), "ko")

    assert brief.title == "한빛 리스크 보고서"
    assert brief.facts == {"기업 번호": "8001-1", "기업명": "한빛", "부채": "1,234,567.5", "비율": "82%"}


@pytest.mark.parametrize("recipe", recipes.RECIPES.values(), ids=lambda recipe: recipe.name)
def test_every_recipe_has_its_prompts_in_both_languages(recipe: recipes.Recipe) -> None:
    tasks = {"signals", "validation", "insight"} | ({"external"} if recipe.searches_with_model else set())

    assert set(recipe.prompts) == tasks
    assert all(set(words) == {"ko", "en"} for words in recipe.prompts.values())
