"""What is wrong with a value that was sent, said without the value."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from generation_service import texts

# pydantic's error types, by the code that a caller sees and the name of the bound in `ctx`.
_BOUNDS: Mapping[str, tuple[str, str]] = {
    "string_too_long": ("too_long", "max_length"),
    "string_too_short": ("too_short", "min_length"),
    "too_long": ("too_many", "max_length"),
    "too_short": ("too_few", "min_length"),
    "less_than_equal": ("too_large", "le"),
    "less_than": ("too_large", "lt"),
    "greater_than_equal": ("too_small", "ge"),
    "greater_than": ("too_small", "gt"),
}
_CHOICES = frozenset({"literal_error", "enum"})
# What each `*_type` and `*_parsing` error would have taken, in JSON's words.
_NAMES = {
    "int": "an integer",
    "float": "a number",
    "decimal": "a number",
    "bool": "true / false",
    "list": "a list",
    "tuple": "a list",
    "dict": "an object",
    "model": "an object",
    "string": "a string",
    "datetime": "a time such as 2026-01-31T09:00:00Z",
}


_JOINT = re.compile(r", (?=')|(?<=') or (?=')")
_TYPE_ENDINGS = ("_type", "_parsing", "_from_float", "_parsing_size")
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
        detail = texts.text(f"value.{self.code}", language, **dict(self.params))
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
        return ValueProblem(str(place[1] if len(place) > 1 else place[0]), *_what(kind, error.get("ctx") or {}, {}))
    place = place[1:] if place and place[0] == "body" else place
    pointer, at = _follow(place[:-1] if kind == "extra_forbidden" else place, schema or {})
    return ValueProblem(pointer, *_what(kind, error.get("ctx") or {}, at))


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


def _what(kind: str, context: Mapping[str, Any], at: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The code of a pydantic error and the parameters of its text."""
    code, bound = _BOUNDS.get(kind, ("", ""))
    if bound:
        return code, (("limit", str(context.get(bound, "?"))),)
    if kind == "extra_forbidden":
        return "unknown_field", (("known", ", ".join(sorted(at.get("properties", ()))) or "-"),)
    if kind in _CHOICES:
        # pydantic's "'a', 'b' or 'c'", without a word of any language
        return "not_a_choice", (("expected", _JOINT.sub(" / ", str(context.get("expected", "?")))),)
    expected = next((name for name in _NAMES if kind.startswith(name)), None)
    if expected and kind.endswith(_TYPE_ENDINGS):
        return "wrong_type", (("expected", _NAMES[expected]),)
    return {"missing": "missing", "string_pattern_mismatch": "wrong_pattern"}.get(kind, "invalid"), ()
