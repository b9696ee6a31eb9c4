"""Bodies as checked requests: what a recipe takes, and the few bodies of our own."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from generation_service.api.problems import Invalid
from generation_service.api.values import ValueProblem, value_problems
from generation_service.jobs.model import Json, NewJob
from generation_service.pipeline import recipes
from generation_service.pipeline.recipes.base import GenerationRequest, Recipe

Model = TypeVar("Model", bound=BaseModel)


class RetryRequest(BaseModel):
    """The body of a retry; it may be left out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    from_step: str | None = Field(
        None, max_length=64, description="run again from here on; left out: from the first step that has not committed"
    )


def checked(body: Json, model: type[Model]) -> Model:
    """The body as `model`. Raises Invalid."""
    try:
        return model.model_validate({} if body is None else body)
    except ValidationError as error:
        raise _invalid(error, model) from None  # the cause would hold what was sent


def generation_request(body: Json) -> tuple[Recipe, GenerationRequest]:
    """The body of POST /api/generation as its recipe takes it. Raises Invalid, Refused `unknown_recipe` (422)."""
    if not isinstance(body, Mapping):
        raise Invalid([ValueProblem("#", "wrong_type", (("expected", "object"),))])
    name = body.get("recipe")
    if not isinstance(name, str | None):
        raise Invalid([ValueProblem("#/recipe", "wrong_type", (("expected", "string"),))])
    recipe = recipes.find(name)
    try:
        return recipe, recipe.validate(body)
    except ValidationError as error:
        raise _invalid(error, recipe.request) from None  # as above


def job_of(recipe: Recipe, request: GenerationRequest, user_id: str) -> NewJob:
    """The job that a checked request asks for."""
    return NewJob(
        kind="generation",
        user_id=user_id,
        request=request.stored(),
        recipe=recipe.name,
        project_id=request.project_id,
        priority=request.priority,
        max_attempts=request.max_attempts,
        budget_tokens=request.budget_tokens,
    )


def canonical(recipe: Recipe, request: GenerationRequest) -> dict[str, Any]:
    """What two requests that are the same have in common, however they were written."""
    return {**request.model_dump(mode="json"), "recipe": recipe.name}


def _invalid(error: ValidationError, model: type[BaseModel]) -> Invalid:
    details = error.errors(include_url=False, include_input=False)
    return Invalid(value_problems((dict(one) for one in details), model.model_json_schema()))
