"""What is wrong with a value: pydantic's errors as codes, and the codes as sentences."""

import re
from collections.abc import Mapping
from typing import Any

from generation_service.texts import Language, has_text, text

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
# What each `*_type` and `*_parsing` error would have taken: `value.type.<name>`.
_NAMES = {
    "int": "integer",
    "float": "number",
    "decimal": "number",
    "bool": "boolean",
    "list": "list",
    "tuple": "list",
    "dict": "object",
    "model": "object",
    "string": "string",
    "datetime": "time",
}
_JOINT = re.compile(r", (?=')|(?<=') or (?=')")
_OTHERS = {"missing": "missing", "string_pattern_mismatch": "wrong_pattern", "finite_number": "not_finite"}
_TYPE_ENDINGS = ("_type", "_parsing", "_from_float", "_parsing_size")


def what_is_wrong(kind: str, context: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The code of a pydantic error, by its `type` and `ctx`, and the parameters of its text; `invalid` for others."""
    code, bound = _BOUNDS.get(kind, ("", ""))
    if bound:
        return code, (("limit", str(context.get(bound, "?"))),)
    if kind in _CHOICES:
        # pydantic's "'a', 'b' or 'c'", without a word of any language
        return "not_a_choice", (("expected", _JOINT.sub(" / ", str(context.get("expected", "?")))),)
    expected = next((name for name in _NAMES if kind.startswith(name)), None)
    if expected and kind.endswith(_TYPE_ENDINGS):
        return "wrong_type", (("expected", _NAMES[expected]),)
    return _OTHERS.get(kind, "invalid"), ()


def value_text(code: str, language: Language, params: Mapping[str, str]) -> str:
    """The sentence under a code, about a value that it does not show."""
    expected = f"value.type.{params.get('expected')}"
    named = {"expected": text(expected, language)} if has_text(expected) else {}
    return text(f"value.{code}", language, **{**params, **named})
