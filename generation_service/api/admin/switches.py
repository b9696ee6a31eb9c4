"""Admin routes of what takes a while: the reports of switches, the status page, and graceful restarts."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from generation_service.api.admin.access import AdminBody, AdminCall, AdminRoute, documented
from generation_service.api.answers import RETRY_AFTER_SECONDS, language_of
from generation_service.api.negotiation import best_of
from generation_service.api.ports import runtime_of
from generation_service.api.problems import responses
from generation_service.switching import reports
from generation_service.switching.restarts import RestartWish
from generation_service.switching.status_page import status_page

router = APIRouter(prefix="/api/admin", tags=["Admin"], route_class=AdminRoute)

Format = Literal["json", "yaml", "markdown"]

_MEDIA_TYPES: dict[str, str] = {
    "json": "application/json",
    "yaml": "application/yaml",
    "markdown": "text/markdown; charset=utf-8",
}
_NO_REASON = "a graceful restart"
_SUFFIXES = {"yaml": ".yaml", "markdown": ".md"}
_SHOWN: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the report",
        "content": {one.partition(";")[0]: {"schema": {"type": "string"}} for one in _MEDIA_TYPES.values()},
    }
}
_NO_STORE = {"Cache-Control": "no-store", "Vary": "Accept, Accept-Language"}


class RestartBody(AdminBody):
    """What is said about the mode along with the restart, if anything."""

    use_durable_worker: bool | None = Field(None, description="jobs go to RQ (true) or run in-process (false)")
    worker_system_enabled: bool | None = Field(None, description="false: no RQ part is used at all")


@router.get("/rollbacks", summary="List rollbacks and roll-forwards", responses=responses(401, 404, 422))
async def list_rollbacks(
    request: Request,
    call: AdminCall,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """The newest first, each with its report."""
    page = await runtime_of(request).operations.switchover.list(limit=limit, cursor=cursor)
    items = [reports.as_json(one, language_of(request)) for one in page.items]
    return call.answer({"items": items, "next_cursor": page.next_cursor})


@router.get(
    "/rollbacks/{switch_id}",
    summary="Get the report of a rollback or roll-forward",
    response_class=Response,
    responses=_SHOWN | responses(401, 404, 406, 422),
)
async def show_rollback(
    request: Request,
    call: AdminCall,
    switch_id: Annotated[str, Path(max_length=64)],
    file_format: Annotated[Format | None, Query(alias="format", description="goes before Accept")] = None,
) -> Response:
    """What was done, when, to how many jobs, and what was found: as JSON, YAML or Markdown."""
    switch = await runtime_of(request).operations.switchover.get(switch_id)
    name = file_format or best_of(request.headers.get("accept"), _MEDIA_TYPES)
    language = language_of(request)
    if name == "json":
        return call.answer(reports.as_json(switch, language), Vary=_NO_STORE["Vary"])
    body = reports.as_yaml(switch, language) if name == "yaml" else reports.as_markdown(switch, language)
    named = {"Content-Disposition": f'inline; filename="{switch.id}{_SUFFIXES[name]}"'}
    return Response(body, headers={"Content-Type": _MEDIA_TYPES[name], **_NO_STORE, **named})


@router.get(
    "/status-page",
    summary="Get the status page",
    response_class=Response,
    responses=_SHOWN | responses(401, 404),
)
async def show_status_page(request: Request, _call: AdminCall) -> Response:
    """Which mode the system is in, since when, why, and what Redis is used for now; Markdown, to be kept anywhere."""
    language = language_of(request)
    page = await runtime_of(request).database.read(lambda connection: status_page(connection, language))
    return Response(page, headers={"Content-Type": _MEDIA_TYPES["markdown"], **_NO_STORE})


@router.post(
    "/graceful-restart",
    status_code=202,
    summary="Replace the API's processes",
    responses=responses(400, 401, 404, 409, 413, 422),
    openapi_extra=documented(RestartBody, {"reason": "the configuration has changed"}),
)
async def graceful_restart(request: Request, call: AdminCall) -> Response:
    """Start each API process anew, the successor before its predecessor ends; no connection is refused.

    A new process reads `.env` anew; the environment stays the one that `serve` was started with. What it
    would read is checked first: where it is not valid, nothing is restarted (422).
    """
    wanted = await call.begin(RestartBody)
    wish = RestartWish(
        reason=wanted.reason.strip() or _NO_REASON,
        said_by=call.actor,
        use_durable_worker=wanted.use_durable_worker,
        worker_system_enabled=wanted.worker_system_enabled,
    )
    restarts = runtime_of(request).operations.restarts
    if wanted.dry_run:
        return call.answer(await restarts.preview(wish))
    restart = await restarts.request(wish)
    headers = {"Location": f"/api/admin/restarts/{restart.id}", "Retry-After": str(RETRY_AFTER_SECONDS)}
    return call.answer(restart.as_json(), 202, **headers)


@router.get("/restarts/{restart_id}", summary="Show a restart", responses=responses(401, 404))
async def show_restart(request: Request, call: AdminCall, restart_id: Annotated[str, Path(max_length=64)]) -> Response:
    """How far it is: each process before and after, with its state."""
    restart = await runtime_of(request).operations.restarts.get(restart_id)
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if restart.status == "running" else {}
    return call.answer(restart.as_json(), 200, **headers)
