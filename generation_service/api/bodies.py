"""JSON bodies: read within bounds, and refused where a part could not be stored or told apart later."""

import json
import math
from collections.abc import Iterator
from email.message import Message
from typing import Any

from starlette.requests import Request

from generation_service.api.problems import Invalid
from generation_service.api.values import ValueProblem
from generation_service.errors import Refused
from generation_service.jobs.model import Json

MOST_LEVELS = 32
_LARGEST_INTEGER = 2**63 - 1
_MOST_DIGITS = 400  # of a number as it is written; Python takes quadratic time to read more


async def json_body(request: Request, *, required: bool = True, any_type: bool = False) -> Json:
    """The body as JSON; None where it is empty and not `required`. With `any_type` it need not say that it is JSON.

    Raises Refused: `unsupported_media_type` (415), `body_too_large` (413), `malformed_json` (400);
    Invalid for numbers that are out of range, NUL characters, lone surrogates and deep nesting.
    """
    raw = await _bounded(request, request.app.state.settings.max_body_bytes)
    if not raw and not required:
        return None
    if not any_type and not _says_json(request.headers.get("content-type")):
        raise Refused("unsupported_media_type", 415, params={"expected": "application/json"})
    value = parse_json(raw)
    check_values(value)
    return value


async def _bounded(request: Request, most_bytes: int) -> bytes:
    """The body, of which no more than `most_bytes` are ever held, whatever its head says of its length."""
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() else 0
    raw = bytearray()
    if size <= most_bytes:
        async for chunk in request.stream():
            raw += chunk
            size = len(raw)
            if size > most_bytes:
                break
    if size > most_bytes:
        raise Refused("body_too_large", 413, params={"max_bytes": most_bytes})
    return bytes(raw)


def parse_json(raw: bytes) -> Json:
    """Read strict JSON (RFC 8259) in UTF-8. Raises Refused `malformed_json` (400)."""
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_no_constant, parse_int=_integer)
    except (ValueError, RecursionError) as error:  # a decoding error is a ValueError, too
        raise Refused("malformed_json", 400) from error


def check_values(value: Json) -> None:
    """Raise Invalid where a value, at any depth, cannot be stored as it is."""
    problems = sorted(set(_problems(value)), key=lambda one: (one.pointer, one.code))
    if problems:
        raise Invalid(problems)


def _problems(value: Json) -> Iterator[ValueProblem]:
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        item, level = waiting.pop()
        if level > MOST_LEVELS:
            yield ValueProblem("#", "too_deep", (("limit", str(MOST_LEVELS)),))
            return
        if isinstance(item, dict):
            waiting.extend((part, level + 1) for pair in item.items() for part in pair)
        elif isinstance(item, list):
            waiting.extend((part, level + 1) for part in item)
        elif isinstance(item, str) and not _is_text(item):
            yield ValueProblem("#", "unusable_character")
        elif isinstance(item, (int, float)) and not _is_in_range(item):
            yield ValueProblem("#", "too_large", (("limit", str(_LARGEST_INTEGER)),))


def _is_text(text: str) -> bool:
    """Whether it can be stored: PostgreSQL takes no NUL, UTF-8 no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _is_in_range(number: float) -> bool:
    return math.isfinite(number) and abs(number) <= _LARGEST_INTEGER


def _no_constant(_name: str) -> float:
    raise ValueError("NaN and Infinity are not JSON")


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else math.inf


def _says_json(content_type: str | None) -> bool:
    message = Message()
    message["content-type"] = content_type or "text/plain"
    main, sub = message.get_content_maintype(), message.get_content_subtype()
    return main == "application" and (sub == "json" or sub.endswith("+json"))
