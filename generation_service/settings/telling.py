"""What is wrong with a setting, in the language of the terminal."""

import os
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from generation_service.texts import has_text, language_of_locale, text
from generation_service.texts.of_values import value_text, what_is_wrong

# Those that are a secret, and those that may hold one.
_SECRET = frozenset(
    {
        "admin_token",
        "alert_webhook_url",
        "api_token",
        "api_tokens",
        "api_url",
        "database_url",
        "embedding_api_key",
        "embedding_base_url",
        "llm_api_key",
        "llm_base_url",
        "redis_url",
        "rollback_webhook_url",
        "s3_endpoint_url",
        "search_base_url",
    }
)


def terminal_locale() -> str | None:
    """The locale that messages on this terminal are written in, as POSIX looks it up; None: not said."""
    return os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG")


def say_of_setting(key: str, **params: object) -> str:
    """The text under `setting.<key>` in the terminal's language."""
    return text(f"setting.{key}", language_of_locale(terminal_locale()), **params)


def wrong(code: str) -> PydanticCustomError:
    """The error of a validator; `setting.takes.<code>` says what would have been taken."""
    return PydanticCustomError(code, text(f"setting.takes.{code}", "en"))


def line_of(error: Mapping[str, Any]) -> str:
    """The line about one of pydantic's errors: the variable, what it got unless that may be a secret, what it takes."""
    place = error["loc"]
    if not place:
        return _takes(error)
    name = str(place[0])
    got = say_of_setting("hidden") if name in _SECRET else f"{error['input']!r}"[:80]
    return say_of_setting("line", name=name.upper(), got=got, takes=_takes(error))


def _takes(error: Mapping[str, Any]) -> str:
    kind = str(error["type"])
    if has_text(f"setting.takes.{kind}"):
        return say_of_setting(f"takes.{kind}")
    code, params = what_is_wrong(kind, error.get("ctx") or {})
    return value_text(code, language_of_locale(terminal_locale()), dict(params))
