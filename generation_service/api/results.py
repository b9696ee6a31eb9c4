"""The route of a job's result: one text, in the format that the caller asks for."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from generation_service.api.auth import Caller
from generation_service.api.generation import JobIdPath
from generation_service.api.negotiation import best_of
from generation_service.api.ports import runtime_of
from generation_service.api.problems import responses
from generation_service.database import Database
from generation_service.errors import Refused
from generation_service.jobs.model import Job, Json
from generation_service.pipeline import recipes
from generation_service.pipeline.episodes import episode_of_job
from generation_service.pipeline.rendering import FORMATS, render

router = APIRouter(prefix="/api/generation", tags=["Generation"])

_SHOWN: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the text",
        "content": {one.media_type.partition(";")[0]: {"schema": {"type": "string"}} for one in FORMATS.values()},
    }
}


@router.get(
    "/{job_id}/result",
    summary="Get the text",
    response_class=Response,
    responses=_SHOWN | responses(401, 404, 406, 409, 410),
)
async def result(
    request: Request,
    job_id: JobIdPath,
    user_id: Caller,
    file_format: Annotated[
        str | None, Query(alias="format", max_length=32, description="goes before Accept; see system-info")
    ] = None,
) -> Response:
    """What a completed job wrote, by `?format=` or `Accept`; 409 before it is there, 404 where a job writes none."""
    runtime = runtime_of(request)
    job = await runtime.jobs.get(job_id, user_id)
    if job.kind != "generation":
        raise Refused("no_result", 404)
    content = await _content(runtime.database, job)
    if content is None:
        raise Refused("result_not_ready", 409)
    name = file_format or acceptable(request.headers.get("accept"), recipes.find(job.recipe).formats)
    rendered = await asyncio.to_thread(render, content, name)
    headers = {"Content-Disposition": f'inline; filename="{job.id}{rendered.suffix}"', "Vary": "Accept"}
    return Response(
        rendered.body, headers={"Content-Type": rendered.media_type, "Cache-Control": "no-store", **headers}
    )


def acceptable(accept: str | None, names: Sequence[str]) -> str:
    """The format that an Accept header likes best. Raises Refused `not_acceptable` (406)."""
    return best_of(accept, {name: FORMATS[name].media_type for name in names})


async def _content(database: Database, job: Job) -> Mapping[str, Json] | None:
    if job.status != "completed":
        return None
    episode = await database.read(lambda connection: episode_of_job(connection, job.id))
    return episode.content if episode else None
