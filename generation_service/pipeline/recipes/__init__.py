"""The recipes that can be asked for, by name."""

from collections.abc import Mapping
from types import MappingProxyType

from generation_service.errors import Refused
from generation_service.pipeline.recipes.base import (
    PROJECT_ID_PATTERN,
    Brief,
    GenerationRequest,
    ProjectId,
    Recipe,
    Signal,
)
from generation_service.pipeline.recipes.risk_report import RiskReport
from generation_service.pipeline.recipes.script import Script

DEFAULT = Script.name
RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in (Script(), RiskReport())})


def find(name: str | None) -> Recipe:
    """The recipe called `name`; None: the default one. Raises Refused `unknown_recipe` (422)."""
    recipe = RECIPES.get(name or DEFAULT)
    if recipe is None:
        raise Refused("unknown_recipe", 422, params={"recipes": ", ".join(RECIPES)})
    return recipe


__all__ = [
    "DEFAULT",
    "PROJECT_ID_PATTERN",
    "RECIPES",
    "Brief",
    "GenerationRequest",
    "ProjectId",
    "Recipe",
    "Signal",
    "find",
]
