"""Problem details (RFC 9457): every error answer, in the caller's language, without a trace of what was sent."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from generation_service import texts
from generation_service.api.values import ValueProblem, value_problems
from generation_service.errors import DatabaseUnavailable, Refused, TransientError
from generation_service.telemetry import current_fields

MEDIA_TYPE = "application/problem+json"

_log = logging.getLogger(__name__)

_RETRY_AFTER_SECONDS = 2
# What the framework says by status alone.
_CODES = {
    400: "bad_request",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}


# Refusals because something else is under way: how far that is, is told as data too (RFC 9457, 3.2).
_UNDER_WAY = frozenset({"switch_under_way", "restart_under_way", "migration_under_way"})


class Invalid(Refused):
    """A request with values that are not taken: 422 `invalid_request`, with one entry for each of them."""

    def __init__(self, errors: Sequence[ValueProblem]) -> None:
        super().__init__("invalid_request", 422)
        self.errors = tuple(errors)


class ValueProblemModel(BaseModel):
    """One value that is not taken."""

    pointer: str = Field(description="where it is: a JSON Pointer into the body, or the parameter's name")
    code: str = Field(description="what is wrong, for programs")
    detail: str = Field(description="what is wrong, for people")


class ProblemModel(BaseModel):
    """An error answer (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:generation-service:problem:job_not_found",
                "title": "There is no such job",
                "status": 404,
                "detail": "Check the job id; GET /api/generation lists yours.",
                "instance": "urn:uuid:019a0000-0000-7000-8000-000000000000",
                "code": "job_not_found",
            }
        }
    )

    type: str
    title: str
    status: int
    detail: str
    instance: str = Field(description="this one occurrence, as the log knows it")
    code: str = Field(description="stable, for programs")
    errors: list[ValueProblemModel] | None = Field(None, description="of `invalid_request`: each value")
    progress: dict[str, Any] | None = Field(None, description="of what is under way, where that is the reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A problem before it is put into words."""

    code: str
    status: int
    params: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    errors: Sequence[ValueProblem] = ()

    @classmethod
    def of(cls, refused: Refused) -> "Problem":
        """What a refusal says."""
        errors = refused.errors if isinstance(refused, Invalid) else ()
        return cls(
            code=refused.code, status=refused.status, params=refused.params, headers=refused.headers, errors=errors
        )


def respond(problem: Problem, accept_language: str | None) -> JSONResponse:
    """The answer that tells of `problem` in the language the caller prefers."""
    language = texts.language_of_header(accept_language)
    body: dict[str, Any] = {
        "type": f"urn:generation-service:problem:{problem.code}",
        "title": _title(problem, language),
        "status": problem.status,
        "detail": _detail(problem, language),
        "instance": f"urn:uuid:{current_fields().get('request_id', '')}",
        "code": problem.code,
    }
    if problem.errors:
        body["errors"] = [one.in_words(language) for one in problem.errors]
    if problem.code in _UNDER_WAY:
        body["progress"] = dict(problem.params)
    headers = {"Content-Language": language, "Cache-Control": "no-store", **problem.headers}
    return JSONResponse(body, problem.status, headers, media_type=MEDIA_TYPE)


def internal_error(accept_language: str | None) -> JSONResponse:
    """The answer where something of our own failed; what it was stands in the log, under the same id."""
    return respond(Problem(code="internal_error", status=500), accept_language)


def install(app: FastAPI) -> None:
    """Let every refusal, validation error and HTTP error of `app` be answered as a problem."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(TransientError, _unavailable)


def responses(*statuses: int, shown: Mapping[int, type[BaseModel]] | None = None) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries of a route: what it shows when all is well, and the problems it may answer with."""
    good: dict[int | str, dict[str, Any]] = {status: {"model": model} for status, model in (shown or {}).items()}
    bad: dict[int | str, dict[str, Any]] = {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemModel"}}},
        }
        for status in sorted({*statuses, 500, 503})
    }
    return {**good, **bad}


def with_problem_shape(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """What makes the OpenAPI document of `app`, with problems where FastAPI would show errors of its own."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            shapes = made.setdefault("components", {}).setdefault("schemas", {})
            shape = ProblemModel.model_json_schema(ref_template="#/components/schemas/{model}")
            shapes |= shape.pop("$defs") | {"ProblemModel": shape}
            for name in ("HTTPValidationError", "ValidationError"):
                shapes.pop(name, None)
            for operation in (one for path in made["paths"].values() for one in path.values()):
                if "HTTPValidationError" in str(operation["responses"].get("422")):
                    operation["responses"]["422"] = responses(422)[422]
            app.openapi_schema = made
        return app.openapi_schema

    return document


def _title(problem: Problem, language: texts.Language) -> str:
    key = f"problem_title.{problem.code}"
    return texts.text(key, language) if texts.has_text(key) else HTTPStatus(problem.status).phrase


def _detail(problem: Problem, language: texts.Language) -> str:
    key = f"problem.{problem.code}"
    if not texts.has_text(key):
        _log.error("No text for the problem %s", problem.code, extra={"action": "text_missing"})
        return _title(problem, language)
    return texts.text(key, language, **problem.params)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    return respond(Problem.of(cast("Refused", error)), request.headers.get("accept-language"))


async def _not_valid(request: Request, error: Exception) -> JSONResponse:
    errors = value_problems(cast("RequestValidationError", error).errors())
    problem = Problem(code="invalid_request", status=422, errors=errors)
    return respond(problem, request.headers.get("accept-language"))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    known = cast("HTTPException", error)
    code = _CODES.get(known.status_code, "bad_request")
    params = {"max_bytes": request.app.state.settings.max_body_bytes, "expected": "application/json"}
    headers = dict(known.headers or {}) | _allowed(request, known.status_code)
    problem = Problem(code=code, status=known.status_code, params=params, headers=headers)
    return respond(problem, request.headers.get("accept-language"))


def _allowed(request: Request, status: int) -> dict[str, str]:
    """What a 405 must say (RFC 9110, 15.5.6): the methods of all routes at this path; the framework names one's."""
    if status != HTTPStatus.METHOD_NOT_ALLOWED:
        return {}
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    matching = [route for route in routes if route.path_regex.match(request.scope["path"])]
    there = {method for route in matching for method in route.methods or ()}
    return {"Allow": ", ".join(sorted(there | ({"HEAD"} if "GET" in there else set())))} if there else {}


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    known = cast("TransientError", error)
    code = "database_unavailable" if isinstance(known, DatabaseUnavailable) else "temporarily_unavailable"
    _log.warning("A request cannot be answered now: %s", known, extra={"action": "unavailable", "code": known.code})
    seconds = max(1, min(60, round(known.retry_after or _RETRY_AFTER_SECONDS)))
    problem = Problem(code=code, status=503, headers={"Retry-After": str(seconds)})
    return respond(problem, request.headers.get("accept-language"))
