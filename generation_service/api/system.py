"""Routes about the service itself: what it is, and tickets for its event streams."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from generation_service.api import tickets
from generation_service.api.auth import Caller
from generation_service.api.health import VERSION, worker_system
from generation_service.api.models import SystemInfo, TicketModel
from generation_service.api.ports import runtime_of
from generation_service.api.problems import responses
from generation_service.api.resources import rfc3339
from generation_service.jobs.routing import current_mode
from generation_service.pipeline.recipes import RECIPES

router = APIRouter(prefix="/api")


@router.get(
    "/generation/system-info",
    tags=["Generation"],
    summary="Where jobs go, and what can be asked for",
    responses=responses(401, shown={200: SystemInfo}),
)
async def system_info(request: Request, _user: Caller) -> Response:
    """The mode in force, the recipes, the providers, and the limits of one request."""
    runtime = runtime_of(request)
    settings = runtime.settings
    limits = {
        name: getattr(settings, name) for name in ("max_body_bytes", "max_upload_bytes", "max_live_jobs_per_user")
    }
    info = {
        "worker_system": worker_system(runtime, await runtime.database.read(current_mode)),
        "version": VERSION,
        "recipes": list(RECIPES),
        "formats": {name: list(recipe.formats) for name, recipe in RECIPES.items()},
        "llm_provider": settings.llm_provider,
        "search_provider": settings.search_provider,
        "limits": limits,
    }
    return JSONResponse(info, headers={"Cache-Control": "no-store"})


@router.post(
    "/stream-tickets",
    status_code=201,
    tags=["Event streams"],
    summary="Get a ticket for an event stream",
    responses=responses(401, shown={201: TicketModel}),
)
async def make_ticket(request: Request, user_id: Caller) -> Response:
    """For a browser's EventSource, which cannot send a token: used once, within 60 seconds, as `?ticket=`.

    Its first use sets a cookie, so that the browser may come back to the stream without another one.
    """
    ticket, until = await tickets.issue(runtime_of(request).database, user_id)
    made = {"ticket": ticket, "expires_at": rfc3339(until), "expires_in_seconds": tickets.TICKET_SECONDS}
    return JSONResponse(made, 201, {"Cache-Control": "no-store"})
