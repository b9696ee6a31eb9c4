"""Reading JSON out of a model's answer, whatever it is wrapped in; one call a step, so nothing is asked twice."""

import json
import re
from collections.abc import Mapping
from typing import Any

from generation_service.jobs.model import Json
from generation_service.llm.model import storable

_FENCE = re.compile(r"```(?:json)?\s*(.*?)(?:```|\Z)", re.DOTALL)
_TRAILING_COMMA = re.compile(r",\s*([}\]])")
_MOST_CUTS = 200


def read_object(answer: str, name: str) -> Mapping[str, Json] | None:
    """The JSON object of an answer; a bare list counts as its field `name`; None where there is none.

    Takes code fences, words around it, trailing commas, and an object that was cut off in its list.
    """
    for candidate in _candidates(answer):
        try:
            value = _storable(_loaded(candidate))
        except RecursionError:  # nested deeper than anything that is asked for
            continue
        if isinstance(value, list):
            return {name: value}
        if isinstance(value, dict):
            return value
    return None


def _storable(value: Json) -> Json:
    """A model may write as an escape what may not stand in its text."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_storable(one) for one in value]
    if isinstance(value, dict):
        return {storable(name): _storable(one) for name, one in value.items()}
    return value


def items(found: Mapping[str, Json] | None, name: str) -> list[dict[str, Any]]:
    """The objects in the list `name`; [] for anything else."""
    value = (found or {}).get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def lines(found: Mapping[str, Json] | None, name: str) -> list[str]:
    """The texts in the list `name`; [] for anything else."""
    value = (found or {}).get(name)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _candidates(answer: str) -> list[str]:
    bare = answer.strip()
    fenced = [match.strip() for match in _FENCE.findall(bare)]
    starts = [position for position in (bare.find("{"), bare.find("[")) if position >= 0]
    return [*fenced, bare, *([bare[min(starts) :]] if starts else [])]


def _loaded(candidate: str) -> Json:
    if not candidate.startswith(("{", "[")):
        return None
    for text in (candidate, _TRAILING_COMMA.sub(r"\1", candidate)):
        try:
            return json.JSONDecoder().raw_decode(text)[0]
        except (ValueError, RecursionError):
            continue  # the next, more lenient reading
    return _cut_off(candidate)


def _cut_off(candidate: str) -> Json:
    """An object that ends in the middle, up to the last item that is whole."""
    end = len(candidate)
    for _ in range(_MOST_CUTS):
        end = candidate.rfind("}", 0, end)
        if end < 0:
            return None
        for closing in ("}", "}]}", "}]"):
            try:
                return json.loads(candidate[:end] + closing)
            except (ValueError, RecursionError):
                continue  # an earlier end, or another closing
    return None
