"""The route of a job's result: one text, in the format that the caller asks for."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from generation_service.api.auth import Caller
from generation_service.api.generation import JobIdPath
from generation_service.api.negotiation import best_of
from generation_service.api.ports import Runtime, runtime_of
from generation_service.api.problems import responses
from generation_service.errors import Refused
from generation_service.pipeline import recipes
from generation_service.pipeline.episodes import Episode, episode_of_job, episode_of_pruned_job
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
        str | None,
        Query(
            alias="format", max_length=32, description="goes before Accept; system-info lists each recipe's `formats`"
        ),
    ] = None,
) -> Response:
    """What a completed job wrote, by `?format=` or `Accept`; 409 before it is there, 404 where a job writes none.

    It stays when the job itself is pruned.
    """
    episode = await _episode(runtime_of(request), job_id, user_id)
    name = file_format or acceptable(request.headers.get("accept"), recipes.find(episode.recipe).formats)
    rendered = await asyncio.to_thread(render, episode.content, name)
    headers = {"Content-Disposition": f'inline; filename="{episode.job_id}{rendered.suffix}"', "Vary": "Accept"}
    return Response(
        rendered.body, headers={"Content-Type": rendered.media_type, "Cache-Control": "no-store", **headers}
    )


def acceptable(accept: str | None, names: Sequence[str]) -> str:
    """The format that an Accept header likes best. Raises Refused `not_acceptable` (406)."""
    return best_of(accept, {name: FORMATS[name].media_type for name in names})


async def _episode(runtime: Runtime, job_id: str, user_id: str) -> Episode:
    """What the job has made. Raises Refused as `Jobs.get`, and: `no_result` (404), `result_not_ready` (409)."""
    try:
        job = await runtime.jobs.get(job_id, user_id)
    except Refused as refused:
        if refused.code != "job_pruned":
            raise
        kept = await runtime.database.read(lambda connection: episode_of_pruned_job(connection, job_id, user_id))
        if kept is None:
            raise
        return kept
    if job.kind != "generation":
        raise Refused("no_result", 404)
    episode = await runtime.database.read(lambda connection: episode_of_job(connection, job.id))
    if job.status != "completed" or episode is None:
        raise Refused("result_not_ready", 409)
    return episode
