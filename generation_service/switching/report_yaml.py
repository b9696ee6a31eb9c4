"""YAML of JSON values, as small as a report needs it: block style, and every text in double quotes.

A quoted text cannot be taken for anything else: not for a number, a date, a key, a document's end (YAML
1.2, 7.3.1). What is not printable is escaped.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def dump(value: Mapping[str, Any]) -> str:
    """The document of a mapping whose values are what JSON can hold."""
    return "\n".join(_mapping(value, 0)) + "\n"


def _mapping(value: Mapping[str, Any], depth: int) -> Iterator[str]:
    for key, part in value.items():
        name = key if key.isidentifier() and key.isascii() and not _is_word(key) else _scalar(key)
        yield from _entry(f"{'  ' * depth}{name}:", part, depth)


def _sequence(value: list[Any], depth: int) -> Iterator[str]:
    for part in value:
        yield from _entry(f"{'  ' * depth}-", part, depth)


def _entry(head: str, part: Any, depth: int) -> Iterator[str]:
    if isinstance(part, Mapping) and part:
        yield head
        yield from _mapping(part, depth + 1)
    elif isinstance(part, (list, tuple)) and part:
        yield head
        yield from _sequence(list(part), depth + 1)
    else:
        yield f"{head} {_scalar(part)}"


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, (Mapping, list, tuple)):  # empty: the others are blocks
        return "{}" if isinstance(value, Mapping) else "[]"
    return f'"{"".join(map(_character, str(value)))}"'


def _number(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN alone differs from itself
        return {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}[str(value)]
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        return mantissa
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}"  # YAML 1.1 takes none without a point


def _character(one: str) -> str:
    if one in _ESCAPES:
        return _ESCAPES[one]
    return one if one.isprintable() else f"\\U{ord(one):08X}"


def _is_word(key: str) -> bool:
    """Whether a plain key would be read as something else than a text, by YAML 1.1 too."""
    return key.lower() in {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}
