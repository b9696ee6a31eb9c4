"""Admin routes of jobs: pause, resume and drain the service, and deal with dead letters."""

import base64
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from generation_service.api import failures
from generation_service.api.admin.access import AdminBody, AdminCall, AdminRoute, Call, documented
from generation_service.api.after import After
from generation_service.api.answers import RETRY_AFTER_SECONDS, language_of
from generation_service.api.ports import deliver, runtime_of
from generation_service.api.problems import responses
from generation_service.api.resources import job_resource, job_urls, rfc3339
from generation_service.errors import Refused
from generation_service.jobs import dead_letters
from generation_service.jobs.model import Json
from generation_service.switching import state
from generation_service.switching.state import Wish
from generation_service.texts import Language

_RAW_SHOWN_BYTES = 4096

router = APIRouter(prefix="/api/admin", tags=["Admin"], route_class=AdminRoute)

_FAULTS = responses(400, 401, 404, 413, 422)


class DrainBody(AdminBody):
    """How long what runs may go on."""

    grace_seconds: float | None = Field(
        None, ge=0, le=86400, description="then it is given back at its last step; see .env.example"
    )


class ReplayBody(AdminBody):
    """From where a job runs again."""

    from_step: str | None = Field(None, max_length=64, description="left out: from its first uncommitted step")


@router.post(
    "/pause", summary="Start no jobs", responses=_FAULTS, openapi_extra=documented(AdminBody, {"reason": "an update"})
)
async def pause(request: Request, call: AdminCall) -> Response:
    """Nothing new starts, on either backend; what runs goes on, and jobs are accepted as ever."""
    return await _apply(request, call, "pause", await call.begin(AdminBody), 0.0)


@router.post(
    "/resume", summary="Start jobs again", responses=_FAULTS, openapi_extra=documented(AdminBody, {"reason": "done"})
)
async def resume(request: Request, call: AdminCall) -> Response:
    """End a pause and a drain."""
    return await _apply(request, call, "resume", await call.begin(AdminBody), 0.0)


@router.post(
    "/drain", summary="Bring jobs to rest", responses=_FAULTS, openapi_extra=documented(DrainBody, {"grace_seconds": 5})
)
async def drain(request: Request, call: AdminCall) -> Response:
    """As a pause; and no process is ready, and after the grace what still runs is given back at its last step."""
    wanted = await call.begin(DrainBody)
    grace = (
        runtime_of(request).settings.shutdown_grace_seconds if wanted.grace_seconds is None else wanted.grace_seconds
    )
    return await _apply(request, call, "drain", wanted, grace)


@router.get("/dead-letters", summary="List dead letters", responses=responses(401, 404, 422))
async def list_dead_letters(
    request: Request,
    call: AdminCall,
    *,
    resolved: Annotated[bool, Query(description="those that were dealt with, too")] = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """What needs a person, the newest first: jobs that failed for good, and what lay in a queue and is not ours."""
    unit = partial(dead_letters.page, limit=limit, cursor=cursor, resolved=resolved)
    page = await runtime_of(request).database.read(unit)
    return call.answer(
        {"items": [_letter(row, language_of(request)) for row in page.items], "next_cursor": page.next_cursor}
    )


@router.post(
    "/dead-letters/{job_id}/replay",
    status_code=202,
    summary="Let a job of the dead letters run again",
    responses=responses(400, 401, 404, 409, 410, 413, 422),
    openapi_extra=documented(ReplayBody, {"reason": "the provider is back"}),
)
async def replay(
    request: Request, call: AdminCall, after: After, job_id: Annotated[str, Path(description="the job's id")]
) -> Response:
    """Reopen a failed job with fresh attempts. What is not a job of ours cannot be run again."""
    runtime = runtime_of(request)
    wanted = await call.begin(ReplayBody)
    found = await runtime.database.read(partial(dead_letters.job_to_replay, given=job_id))
    job = await runtime.jobs.get(found)
    if wanted.dry_run:
        if job.status != "failed":
            raise Refused("job_not_failed", 409)
        return call.answer({"dry_run": True, "job_id": job.id, "status": job.status})
    job = await runtime.jobs.reopen(job.id, wanted.from_step)
    after.add_task(deliver, runtime, job)
    resource = job_resource(job, await runtime.jobs.steps(job.id), runtime.jobs.step_names(job), language_of(request))
    headers = {"Location": job_urls(job.id)["self"], "Retry-After": str(RETRY_AFTER_SECONDS)}
    return call.answer(resource, 202, **headers)


async def _apply(request: Request, call: Call, wish: Wish, wanted: AdminBody, grace_seconds: float) -> Response:
    database = runtime_of(request).database
    changed = state.would_change(await database.read(state.read_state), wish)
    if not wanted.dry_run:
        unit = partial(state.apply, wish=wish, by=call.actor, reason=wanted.reason, grace_seconds=grace_seconds)
        changed = await database.write(unit)
        request.app.state.dependencies.forget()
    now = await database.read(state.read_state)
    jobs = await database.read(state.count_live)
    return call.answer({"dry_run": wanted.dry_run, "changed": changed, **now.as_json(), "jobs": jobs})


def _letter(row: Mapping[str, Any], language: Language) -> dict[str, Json]:
    raw: bytes | None = row["raw"]
    job = {"job_id": row["job_id"], "status": row["job_status"], "urls": job_urls(row["job_id"])}
    shown = ("id", "job_id", "origin", "reason", "detail")
    code = row["reason"] if row["origin"] == "jobs" else None  # a queue holds what anybody wrote
    told = failures.failure({"code": code, "message": row["detail"]}, language)
    return {
        **{name: row[name] for name in shown},
        "message": told["message"],
        "job": job if row["job_status"] else None,
        "raw": base64.b64encode(raw[:_RAW_SHOWN_BYTES]).decode() if raw is not None else None,
        "raw_bytes": len(raw) if raw is not None else None,
        "created_at": rfc3339(row["created_at"]),
        "resolved_at": rfc3339(row["resolved_at"]),
    }
