"""Why a job or a step failed, and why a step was skipped, in the reader's language; what is stored has a code."""

from collections.abc import Callable, Mapping
from functools import cache, partial

from generation_service import texts
from generation_service.api.frames import Retell
from generation_service.jobs.model import Json
from generation_service.texts import Language

_FAILURES = ("job.failure", "document.code")  # the latter: of what only a document can be


def failure(error: Mapping[str, Json], language: Language) -> dict[str, Json]:
    """An error as the resource shows it: its message by its code; as it is stored where the code has no text."""
    return {**error, "message": _failure_text(error.get("code"), language) or error.get("message")}


def skipped(reason: str | None, language: Language) -> tuple[str | None, str | None]:
    """The sentence of a stored reason, and its code; as it is stored, and None, where it has no text.

    A reason is a code, or a code, a colon and the code of the failure behind it.
    """
    code, _, behind = (reason or "").partition(":")
    key = f"job.skip.{code}"
    if not texts.has_text(key):
        return reason, None
    return texts.text(key, language, why=_failure_text(behind, language) or behind), code


def event(data: Mapping[str, Json], language: Language) -> Mapping[str, Json]:
    """What an event says, with its error and the reason of a step that was skipped as sentences."""
    error = data.get("error")
    if isinstance(error, Mapping):
        data = {**data, "error": failure(error, language)}
    if "step" in data and isinstance(reason := data.get("reason"), str):
        sentence, code = skipped(reason, language)
        data = {**data, "reason": sentence, "reason_code": code}
    return data


@cache
def told_in(language: Language, retell: Callable[..., Mapping[str, Json]] = event) -> Retell:
    """`retell` for readers of a language; the same function for each of them, so an event is encoded once for all."""
    return partial(retell, language=language)


def _failure_text(code: object, language: Language) -> str | None:
    key = next((key for area in _FAILURES if texts.has_text(key := f"{area}.{code}")), None)
    return texts.text(key, language) if key else None
