"""What is wrong with a value that was sent, said without the value."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from generation_service import texts
from generation_service.texts.of_values import value_text, what_is_wrong

_PARAMETERS = frozenset({"query", "path", "header", "cookie"})
_MOST_TOLD = 20


@dataclass(frozen=True, slots=True)
class ValueProblem:
    """One value that is not taken: where it is, and the code of what is wrong, which names a text."""

    pointer: str
    code: str
    params: tuple[tuple[str, str], ...] = ()

    def in_words(self, language: texts.Language) -> dict[str, str]:
        """As the answer shows it."""
        detail = value_text(self.code, language, dict(self.params))
        return {"pointer": self.pointer, "code": self.code, "detail": detail}


def value_problems(
    errors: Iterable[Mapping[str, Any]], schema: Mapping[str, Any] | None = None
) -> tuple[ValueProblem, ...]:
    """Turn pydantic's errors into ours, at most 20 of them.

    `schema` is the JSON schema of a body: a place is told only as far as it consists of field names
    of that schema, since any other name in it was made up by the caller. None: the places are ours.
    """
    found = {_value_problem(error, schema) for error in islice(errors, _MOST_TOLD)}
    return tuple(sorted(found, key=lambda one: (one.pointer, one.code)))


def _value_problem(error: Mapping[str, Any], schema: Mapping[str, Any] | None) -> ValueProblem:
    kind, place = str(error["type"]), tuple(error["loc"])
    if place and place[0] in _PARAMETERS:
        return ValueProblem(str(place[1] if len(place) > 1 else place[0]), *what_is_wrong(kind, error.get("ctx") or {}))
    place = place[1:] if place and place[0] == "body" else place
    pointer, at = _follow(place[:-1] if kind == "extra_forbidden" else place, schema or {})
    if kind == "extra_forbidden":
        return ValueProblem(pointer, "unknown_field", (("known", ", ".join(sorted(at.get("properties", ()))) or "-"),))
    return ValueProblem(pointer, *what_is_wrong(kind, error.get("ctx") or {}))


def _follow(place: Sequence[Any], schema: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The JSON Pointer of a place, as far as the schema knows it, and the schema of what is there."""
    pointer, at = "#", _resolved(schema, schema)
    for step in place:
        inner = at.get("items") if isinstance(step, int) else (at.get("properties") or {}).get(step)
        if not isinstance(inner, Mapping):
            break
        pointer, at = f"{pointer}/{step}", _resolved(inner, schema)
    return pointer, at


def _resolved(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """`part` with its reference followed; of alternatives the one that has fields or items."""
    for alternative in part.get("anyOf", ()):
        found = _resolved(alternative, schema)
        if "properties" in found or "items" in found:
            return found
    name = str(part.get("$ref", "")).removeprefix("#/$defs/")
    return schema.get("$defs", {}).get(name, part) if name else part
