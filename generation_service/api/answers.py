"""Answers as several routes give them: JSON in the language of the caller, kept by no cache."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from generation_service import texts
from generation_service.jobs.model import Json

RETRY_AFTER_SECONDS = 2
"""When to ask again about what has not ended."""


def answer(content: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON whose sentences are in the language of `language_of`."""
    return JSONResponse(content, status, {"Cache-Control": "no-store", "Vary": "Accept-Language", **(headers or {})})


def language_of(request: Request) -> texts.Language:
    """The language that the caller prefers."""
    return texts.language_of_header(request.headers.get("accept-language"))
