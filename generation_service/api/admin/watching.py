"""Admin routes that watch: figures, the ledger, triggers, the audit; memory, and what users report."""

import asyncio
from functools import partial
from typing import Annotated, ClassVar

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from generation_service.api.admin import cleaning, figures
from generation_service.api.admin.access import AdminBody, AdminCall, AdminRoute, documented
from generation_service.api.ports import Runtime, runtime_of
from generation_service.api.problems import responses
from generation_service.api.resources import rfc3339
from generation_service.errors import Refused
from generation_service.jobs.model import Json
from generation_service.jobs.routing import current_mode
from generation_service.switching import audit, user_reports
from generation_service.switching.user_reports import UserReport
from workers.optimized_background_tasks import TaskPool

router = APIRouter(prefix="/api/admin", tags=["Admin"], route_class=AdminRoute)

_USER = "operator"

Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(max_length=64)]


class CleanupBody(AdminBody):
    """What is to be given back; with neither, both."""

    force_gc: bool | None = Field(None, description="collect garbage and have the allocator give back free memory")
    clear_caches: bool | None = Field(None, description="forget what can be computed again")


class UserReportBody(AdminBody):
    """What a user says does not work."""

    unaudited: ClassVar[frozenset[str]] = frozenset({"message"})  # a user's own words stay in one place

    message: str = Field(min_length=1, max_length=4000)
    job_id: str | None = Field(None, max_length=36, pattern=r"^[0-9a-f-]{36}$")
    user_id: str = Field(_USER, min_length=1, max_length=200)


@router.get("/stats", summary="Figures of the whole service", responses=responses(401, 404))
async def stats(request: Request, call: AdminCall) -> Response:
    """How busy both backends are, how long answers take, how many jobs there are, and each process's memory."""
    runtime = runtime_of(request)
    found = await runtime.database.read(figures.look)
    pool: TaskPool = request.app.state.tasks
    after = {"active": pool.active, "waiting": pool.waiting, "capacity": pool.concurrency, "threads": pool.threads}
    rq = {**found.backend("rq", "worker"), **await _rq(runtime), "workers": found.workers}
    return call.answer({**found.as_json(), "rq": rq, "after_answer": after})


@router.post(
    "/cleanup",
    summary="Give back memory",
    responses=responses(400, 401, 404, 413, 422),
    openapi_extra=documented(CleanupBody, {"force_gc": True, "clear_caches": True}),
)
async def cleanup(request: Request, call: AdminCall) -> Response:
    """Collect garbage and clear caches of the one process that answers; what was freed, in objects and bytes."""
    wanted = await call.begin(CleanupBody)
    both = wanted.force_gc is None and wanted.clear_caches is None
    force_gc, clear_caches = both or bool(wanted.force_gc), both or bool(wanted.clear_caches)
    told = {"scope": "process", "process": runtime_of(request).operations.process, "dry_run": wanted.dry_run}
    if wanted.dry_run:
        return call.answer({**told, "cache_entries": cleaning.cached_entries()})
    freed = await asyncio.to_thread(cleaning.clean, force_gc=force_gc, clear_caches=clear_caches)
    return call.answer({**told, **freed.as_json()})


@router.get("/ledger", summary="Prove that no job was lost or doubled", responses=responses(401, 404))
async def ledger(request: Request, call: AdminCall) -> Response:
    """Accepted = live + ended, by backend, against RQ; `lost`, `duplicated` and `unexplained` are 0."""
    report = await runtime_of(request).operations.ledger.check()
    return call.answer(report.as_json())


@router.get("/triggers", summary="Show the automatic rollback triggers", responses=responses(401, 404, 422))
async def triggers(request: Request, call: AdminCall, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Each trigger's value and threshold, whether it is armed, and when it fired last."""
    items = await runtime_of(request).operations.triggers.view()
    names = [str(one["name"]) for one in items]
    if cursor is not None and cursor not in names:
        raise Refused("invalid_cursor", 422)
    begin = names.index(cursor) + 1 if cursor is not None else 0
    end = begin + limit
    return call.answer({"items": items[begin:end], "next_cursor": names[end - 1] if end < len(items) else None})


@router.get("/audit", summary="Who did what, why, with what result", responses=responses(401, 404, 422))
async def list_audit(request: Request, call: AdminCall, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The newest entries first. `generation-service audit verify` checks their chain."""
    page = await runtime_of(request).database.read(partial(audit.page, limit=limit, cursor=cursor))
    items = [{**row, "at": rfc3339(row["at"])} for row in page.items]
    return call.answer({"items": items, "next_cursor": page.next_cursor})


@router.post(
    "/user-reports",
    status_code=201,
    summary="Enter what a user reports",
    responses=responses(400, 401, 404, 413, 422),
    openapi_extra=documented(UserReportBody, {"message": "Nothing has moved for an hour"}, required=True),
)
async def add_user_report(request: Request, call: AdminCall) -> Response:
    """Keep a report. How many there were in the last hour is a trigger's advice."""
    database = runtime_of(request).database
    wanted = await call.begin(UserReportBody, required=True)
    report = UserReport(user_id=wanted.user_id, job_id=wanted.job_id, message=wanted.message)
    told: dict[str, Json] = {"dry_run": wanted.dry_run}
    if not wanted.dry_run:
        row = await database.write(partial(user_reports.add, report=report))
        told |= {"report_id": row["id"], "job_id": row["job_id"], "created_at": rfc3339(row["created_at"])}
    told["last_hour"] = await database.read(user_reports.count_lately)
    return call.answer(told, 200 if wanted.dry_run else 201)


@router.get("/user-reports", summary="List what users report", responses=responses(401, 404, 422))
async def list_user_reports(request: Request, call: AdminCall, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The newest first."""
    page = await runtime_of(request).database.read(partial(user_reports.page, limit=limit, cursor=cursor))
    items = [
        {
            "report_id": row["id"],
            **{name: row[name] for name in ("user_id", "job_id", "message")},
            "created_at": rfc3339(row["created_at"]),
        }
        for row in page.items
    ]
    return call.answer({"items": items, "next_cursor": page.next_cursor})


async def _rq(runtime: Runtime) -> dict[str, Json]:
    """What Redis says; it is not asked where no RQ part is to be used."""
    mode = await runtime.database.read(current_mode)
    enabled = mode.enabled if mode else runtime.settings.worker_system_enabled
    if not enabled:
        return {"enabled": False, "reachable": None, "queues": {}}
    try:
        return {"enabled": True, "reachable": True, "queues": await asyncio.to_thread(runtime.rq.queue_depths)}
    except ConnectionError:
        return {"enabled": True, "reachable": False, "queues": {}}
