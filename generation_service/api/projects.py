"""Routes of projects: their saved episodes."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from generation_service.api import listing
from generation_service.api.auth import Caller
from generation_service.api.models import EpisodePage, EpisodeResource
from generation_service.api.ports import runtime_of
from generation_service.api.problems import responses
from generation_service.api.resources import episode_resource
from generation_service.errors import Refused
from generation_service.pipeline.recipes import PROJECT_ID_PATTERN

_LARGEST_NUMBER = 2**31 - 1

router = APIRouter(prefix="/api/projects/{project_id}/episodes", tags=["Projects"])

ProjectIdPath = Annotated[str, Path(min_length=1, max_length=200, pattern=PROJECT_ID_PATTERN)]


@router.get("", summary="List a project's episodes", responses=responses(401, 404, 422, shown={200: EpisodePage}))
async def list_episodes(
    request: Request,
    project_id: ProjectIdPath,
    user_id: Caller,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """The episodes in the order of their numbers: 1, 2, 3 ... Pass `next_cursor` as `cursor` to go on."""
    page = await listing.list_episodes(
        runtime_of(request).database, project_id, user_id, limit=limit, after=_number(cursor)
    )
    items = [episode_resource(row) for row in page.items]
    return JSONResponse({"items": items, "next_cursor": page.next_cursor}, headers={"Cache-Control": "no-store"})


@router.get("/{number}", summary="Show an episode", responses=responses(401, 404, 422, shown={200: EpisodeResource}))
async def show_episode(
    request: Request,
    project_id: ProjectIdPath,
    number: Annotated[int, Path(ge=1, le=_LARGEST_NUMBER)],
    user_id: Caller,
) -> Response:
    """One episode; its text is at `urls.result`."""
    row = await listing.find_episode(runtime_of(request).database, project_id, user_id, number)
    return JSONResponse(episode_resource(row), headers={"Cache-Control": "no-store"})


def _number(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdecimal() and int(cursor) <= _LARGEST_NUMBER):
        raise Refused("invalid_cursor", 422)
    return int(cursor)
