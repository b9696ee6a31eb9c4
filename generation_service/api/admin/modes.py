"""Admin routes of the mode: show it and say it, move jobs to the other backend, compare RQ with the database."""

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from generation_service.api.admin.access import AdminBody, AdminCall, AdminRoute, documented
from generation_service.api.health import worker_system
from generation_service.api.ports import Runtime, runtime_of
from generation_service.api.problems import responses
from generation_service.errors import Refused
from generation_service.jobs.model import Backend, Json
from generation_service.jobs.queries import Page
from generation_service.jobs.routing import Carry, Mode, current_mode, rollout_of
from generation_service.switching import operator, switches
from generation_service.switching.mode import Flag
from generation_service.switching.operator import ModeWish
from generation_service.switching.switches import Switch

router = APIRouter(prefix="/api/admin", tags=["Admin"], route_class=AdminRoute)

Side = Literal["rq_queue", "rq", "background_tasks"]
_BACKENDS: dict[Side, Backend] = {"rq_queue": "rq", "rq": "rq", "background_tasks": "background_tasks"}


class ModeBody(AdminBody):
    """What the mode is to be; what is left out stays as it is."""

    use_durable_worker: bool | None = Field(None, description="jobs go to RQ (true) or run in-process (false)")
    worker_system_enabled: bool | None = Field(None, description="false: no RQ part is used at all")
    carry: Carry | None = Field(None, description="what recovery takes along to the other backend")


class MigrationBody(AdminBody):
    """Which jobs are to change their backend."""

    source: Side
    target: Side
    include_running: Annotated[bool, Field(description="take over running jobs, from their last committed step")] = (
        False
    )


@router.get("/worker-mode", summary="Show the mode and its history", responses=responses(401, 404, 422))
async def show_mode(
    request: Request,
    call: AdminCall,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """The mode in force, who said it and why; all modes, the newest first; the switch under way.

    Pass `next_cursor` as `cursor` to go on in the history.
    """

    def unit(connection: Connection) -> tuple[Mode | None, Page[Json], Switch | None]:
        page = operator.history(connection, limit=limit, cursor=cursor)
        return current_mode(connection), page, switches.under_way(connection)

    runtime = runtime_of(request)
    mode, page, switch = await runtime.database.read(unit)
    now = operator.mode_json(mode) if mode else None
    flags = ("use_durable_worker", "worker_system_enabled")
    return call.answer(
        {
            **({name: now[name] for name in flags} if now else {}),
            "worker_system": worker_system(runtime, mode),
            "now": now,
            "history": page.items,
            "next_cursor": page.next_cursor,
            "under_way": switches.progress(switch) if switch else None,
        }
    )


@router.post(
    "/worker-mode",
    summary="Say the mode",
    responses=responses(400, 401, 404, 409, 413, 422),
    openapi_extra=documented(
        ModeBody, {"use_durable_worker": False, "reason": "Redis is gone", "dry_run": True}, required=True
    ),
)
async def set_mode(request: Request, call: AdminCall) -> Response:
    """Switch at once, without a restart: every process follows within a second.

    Jobs stay where they are unless `carry` says otherwise; without any RQ part, what waits for it always
    goes along. With `dry_run`: what would change, and how many jobs wait and run on each backend.
    """
    runtime = runtime_of(request)
    wanted = await call.begin(ModeBody, required=True)
    wish = ModeWish(
        use_durable_worker=wanted.use_durable_worker,
        worker_system_enabled=wanted.worker_system_enabled,
        carry=wanted.carry,
        reason=wanted.reason,
        said_by=call.actor,
    )
    unit = partial(
        operator.preview if wanted.dry_run else operator.fulfil, wish=wish, environment=_environment(runtime)
    )
    effect = await (runtime.database.read(unit) if wanted.dry_run else runtime.database.write(unit))
    request.app.state.dependencies.forget()
    return call.answer({"dry_run": wanted.dry_run, **effect.as_json()})


@router.post(
    "/migrate-pending-jobs",
    summary="Move jobs to the other backend",
    responses=responses(400, 401, 404, 409, 413, 422),
    openapi_extra=documented(MigrationBody, {"source": "rq_queue", "target": "background_tasks"}, required=True),
)
async def migrate_pending_jobs(request: Request, call: AdminCall) -> Response:
    """Move what waits, is scheduled or will be tried again; with `include_running` what runs, too.

    Works with Redis unreachable. Twice in a row, or two at once, moves nothing twice.
    """
    wanted = await call.begin(MigrationBody, required=True)
    source, target = _BACKENDS[wanted.source], _BACKENDS[wanted.target]
    if source == target:
        raise Refused("same_backend", 422)
    result = await runtime_of(request).operations.migration.run(
        source, target, include_running=wanted.include_running, dry_run=wanted.dry_run, by=call.actor
    )
    return call.answer({"source": wanted.source, "target": wanted.target, **result.as_json()})


@router.post(
    "/sync-statuses",
    summary="Bring RQ's view and the database together",
    responses=responses(400, 401, 404, 409, 413, 422),
    openapi_extra=documented(AdminBody, {"dry_run": True}),
)
async def sync_statuses(request: Request, call: AdminCall) -> Response:
    """The database is the truth; what differed in RQ is named, with what was done about it."""
    wanted = await call.begin(AdminBody)
    report = await runtime_of(request).operations.sync.run(dry_run=wanted.dry_run)
    return call.answer(report.as_json())


def _environment(runtime: Runtime) -> Flag:
    settings = runtime.settings
    rollout = rollout_of(settings.durable_worker_rollout_percent, settings.durable_worker_projects)
    return Flag(settings.use_durable_worker, settings.worker_system_enabled, rollout)
