"""Routes of generation: submit, list, show; cancel, retry, follow."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from generation_service.api import examples, listing
from generation_service.api.after import After
from generation_service.api.answers import RETRY_AFTER_SECONDS, answer, language_of
from generation_service.api.auth import Caller, StreamReader, caller
from generation_service.api.bodies import json_body
from generation_service.api.direct import DirectRoute
from generation_service.api.failures import told_in
from generation_service.api.headers import ResumeAfter, idempotency_key, preferred_wait
from generation_service.api.models import JobPage, JobResource
from generation_service.api.ports import deliver, runtime_of
from generation_service.api.problems import Invalid, responses
from generation_service.api.requests import RetryRequest, canonical, checked, generation_request, job_of
from generation_service.api.resources import job_resource
from generation_service.api.stream import Streams
from generation_service.api.values import ValueProblem
from generation_service.api.waiting import until_ended
from generation_service.jobs.model import Backend, Job, Status, StepRecord
from generation_service.jobs.queries import JobFilter
from generation_service.pipeline.recipes import PROJECT_ID_PATTERN

ROUTE = "POST /api/generation"
"""What an Idempotency-Key belongs to, besides its caller."""

router = APIRouter(prefix="/api/generation", tags=["Generation"])

JobIdPath = Annotated[str, Path(description="the job's id")]


async def submit(request: Request) -> Response:
    """Accept a generation. The answer comes once the job is committed, and waits for nothing else.

    Send an `Idempotency-Key` to be able to send the same request again: it makes one job however
    often it arrives. `Prefer: wait=N` holds the answer until the job has ended, for N seconds at most.
    """
    runtime, user_id = runtime_of(request), await caller(request)
    recipe, wanted = generation_request(await json_body(request))
    key = idempotency_key(request, ROUTE, canonical(recipe, wanted))
    submitted = await runtime.jobs.submit(job_of(recipe, wanted, user_id), key=key)
    headers = {"Idempotent-Replayed": "true"} if submitted.replayed else {}
    seconds = preferred_wait(request)
    if seconds is None:
        accepted = await _accepted(request, submitted.job, headers)
        if not submitted.replayed:  # it waits for nothing, so it takes no place among the tasks that may
            accepted.background = BackgroundTask(deliver, runtime, submitted.job)
        return accepted
    if not submitted.replayed:
        await deliver(runtime, submitted.job)
    job = await until_ended(runtime, request.app.state.drain, submitted.job, seconds)
    return await _accepted(request, job, headers | {"Preference-Applied": f"wait={seconds}"})


router.add_api_route(
    "",
    submit,
    methods=["POST"],
    status_code=202,
    summary="Submit a generation",
    responses=responses(400, 401, 404, 413, 415, 422, 429, shown={202: JobResource}),
    openapi_extra=examples.SUBMIT,
    route_class_override=DirectRoute,
)


@router.get(
    "",
    summary="List jobs",
    responses=responses(401, 422, shown={200: JobPage}),
)
async def list_jobs(
    request: Request,
    user_id: Caller,
    *,
    status: Status | None = None,
    project_id: Annotated[str | None, Query(max_length=200, pattern=PROJECT_ID_PATTERN)] = None,
    backend: Backend | None = None,
    created_after: datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Your jobs, the newest first. Pass `next_cursor` as `cursor` to go on."""
    runtime = runtime_of(request)
    since = _utc(created_after)
    wanted = JobFilter(user_id=user_id, status=status, project_id=project_id, backend=backend, created_after=since)
    page = await runtime.jobs.list(wanted, limit=limit, cursor=cursor)
    steps = await listing.steps_of(runtime.database, [job.id for job in page.items])
    items = [_resource(request, job, steps.get(job.id, ())) for job in page.items]
    return answer({"items": items, "next_cursor": page.next_cursor})


@router.get(
    "/{job_id}",
    summary="Show a job",
    responses=responses(401, 404, 410, shown={200: JobResource}),
)
async def show(request: Request, job_id: JobIdPath, user_id: Caller) -> Response:
    """The job's state now: 200 for a failed job too, its `error` says why."""
    job, steps = await runtime_of(request).jobs.get_with_steps(job_id, user_id)
    headers = {} if job.ended else {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return answer(_resource(request, job, steps), headers=headers)


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    summary="Cancel a job",
    responses=responses(401, 404, 410, shown={202: JobResource, 200: JobResource}),
)
async def cancel(request: Request, job_id: JobIdPath, user_id: Caller) -> Response:
    """End a job that waits or runs. A running step stops within two seconds; its writes no longer count."""
    jobs = runtime_of(request).jobs
    job = await jobs.get(job_id, user_id)
    cancelled = await jobs.cancel(job.id)
    resource = _resource(request, cancelled.job, await jobs.steps(job.id))
    return answer(resource, 202 if cancelled.by_this_call else 200)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    summary="Retry a failed job",
    responses=responses(400, 401, 404, 409, 410, 415, 422, shown={202: JobResource}),
    openapi_extra=examples.RETRY,
)
async def retry(request: Request, after: After, job_id: JobIdPath, user_id: Caller) -> Response:
    """Let a failed job run again with fresh attempts, from its first uncommitted step or from `from_step`."""
    runtime = runtime_of(request)
    wanted = checked(await json_body(request, required=False), RetryRequest)
    job = await runtime.jobs.get(job_id, user_id)
    reopened = await runtime.jobs.reopen(job.id, wanted.from_step)
    after.add_task(deliver, runtime, reopened)
    return await _accepted(request, reopened, {})


@router.get(
    "/{job_id}/events",
    summary="Follow a job",
    response_class=Response,
    responses=examples.STREAM | responses(400, 401, 404, 410, 422, 429),
    openapi_extra=examples.FOLLOW,
)
async def events(
    request: Request,
    job_id: JobIdPath,
    reader: StreamReader,
    after: ResumeAfter,
) -> Response:
    """The job's events as server-sent events, numbered 1, 2, 3 ... without a gap, until it has ended.

    Resume with `Last-Event-ID` (or `?after=`) at any process; 204 says that there is nothing more. A
    browser's EventSource, which sends no token, takes a `?ticket=` of POST /api/stream-tickets. Why a
    step failed or was skipped is told in your language.
    """
    job = await runtime_of(request).jobs.get(job_id, reader.user_id)
    streams: Streams = request.app.state.streams
    return reader.mark(streams.open(job, after, told_in(language_of(request))), request)


async def _accepted(request: Request, job: Job, headers: dict[str, str]) -> Response:
    steps = await runtime_of(request).jobs.steps(job.id) if job.claims else []
    resource = _resource(request, job, steps)
    always = {"Location": resource["urls"]["self"], "Retry-After": str(RETRY_AFTER_SECONDS)}
    return answer(resource, 202, always | headers)


def _resource(request: Request, job: Job, steps: Sequence[StepRecord]) -> dict[str, Any]:
    return job_resource(job, steps, runtime_of(request).jobs.step_names(job), language_of(request))


def _utc(moment: datetime | None) -> datetime | None:
    """A time without a zone counts as UTC. Raises Invalid for one that has no UTC time."""
    if moment is None:
        return None
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise Invalid([ValueProblem("created_after", "invalid")]) from error
