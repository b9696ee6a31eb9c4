"""Routes of programs: batches of files, what became of each, and their retries."""

import asyncio
import time
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from generation_service import texts
from generation_service.api import examples
from generation_service.api.after import After
from generation_service.api.answers import RETRY_AFTER_SECONDS, answer, language_of
from generation_service.api.auth import Caller, Identity
from generation_service.api.documents import ContainerId
from generation_service.api.forms import Checked, Fields, read_program_form
from generation_service.api.headers import LONGEST_WAIT_SECONDS, given_key
from generation_service.api.models_documents import FileState
from generation_service.api.models_programs import (
    ProgramDeleted,
    ProgramFilePage,
    ProgramPage,
    ProgramResource,
    RetryResource,
    RetryStatsModel,
)
from generation_service.api.ports import Runtime, deliver_all, runtime_of
from generation_service.api.problems import responses
from generation_service.api.program_resources import (
    file_resource,
    program_resource,
    program_summary,
    retry_resource,
    stats_resource,
)
from generation_service.api.spool import Spool
from generation_service.programs.model import Retry, RetryType

router = APIRouter(prefix="/v1/programs", tags=["Programs"])

USER_ID_PATTERN = r"^[^\x00-\x1f\x7f]*$"
_LONGEST_USER_ID = 200
_LOOK_SECONDS = 0.25
_MOST_LOOKS = 3

ProgramIdPath = Annotated[str, Path(description="the program's id")]
RetryIdPath = Annotated[str, Path(description="the retry's id")]
SaidUser = Annotated[
    str | None,
    Query(
        alias="user_id",
        max_length=_LONGEST_USER_ID,
        pattern=USER_ID_PATTERN,
        description="whose program it is; with API_TOKENS set it is the token's user",
    ),
]


async def program_user(request: Request, caller: Caller, said: SaidUser = None) -> str | None:
    """Whose programs are asked for: the token's user, or where no token is needed the one that is said, if any.

    Without both everybody is one: an address that this service gave out leads there without a user in it.
    """
    identity: Identity = request.app.state.identity
    return said or None if identity.is_open else caller


User = Annotated[str | None, Depends(program_user)]


@router.post(
    "",
    status_code=202,
    summary="Upload a program: a batch of files",
    responses=responses(400, 401, 404, 413, 415, 422, 429, shown={202: ProgramResource}),
    openapi_extra=examples.PROGRAM,
)
async def upload(
    request: Request, after: After, caller: Caller, user_id: User, container_id: ContainerId | None = None
) -> Response:
    """Store files (`files`, as often as there are some) and have each read by a job of its own.

    The answer comes once all bytes are stored. A file that is empty, too large or of a type that is not
    taken is `failed` with its code while the others go on. Files that failed are tried again by
    themselves where that can help, and by `retry`. `container_id` and `user_id` may come in the form too.
    """
    runtime, key = runtime_of(request), given_key(request)
    async with runtime.programs.intake() as intake:

        async def take(name: str, spool: Spool) -> None:
            if name or spool.size:  # a browser sends an empty one without a name where none was chosen
                await intake.add(name, spool.chunks())

        fields = await read_program_form(request, take, max_file_bytes=runtime.settings.max_upload_bytes)
        checked = Checked(fields)
        project_id = checked.project_id(required=False) or container_id
        use_multimodal = checked.use_multimodal()
        owner = _owner(request, checked, fields, user_id) or caller
        checked.refuse()
        accepted = await intake.accept(
            user_id=owner, project_id=project_id, use_multimodal=use_multimodal, key=key, owner_id=caller
        )
    after.add_task(deliver_all, runtime, accepted.jobs)
    resource = await _resource(request, runtime, accepted.program.id, owner)
    if accepted.jobs:
        resource["message"] = texts.text("program.accepted", language_of(request), count=len(accepted.jobs))
    headers = {"Location": resource["urls"]["self"], "Retry-After": str(RETRY_AFTER_SECONDS)}
    replayed = {"Idempotent-Replayed": "true"} if accepted.replayed else {}
    return answer(resource, 202, headers | replayed)


@router.get("", summary="List programs", responses=responses(401, 422, shown={200: ProgramPage}))
async def list_programs(
    request: Request,
    user_id: User,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Your programs, the newest first. Pass `next_cursor` as `cursor` to go on."""
    page = await runtime_of(request).programs.list(user_id, limit, cursor)
    items = [program_summary(state, language_of(request)) for state in page.items]
    return answer({"items": items, "next_cursor": page.next_cursor})


# Before /{program_id}: it is no program.
@router.get("/retry-stats", summary="How retries ended", responses=responses(401, shown={200: RetryStatsModel}))
async def retry_stats(request: Request, user_id: User) -> Response:
    """All retries of files of your programs together, whoever began them."""
    return answer(stats_resource(await runtime_of(request).programs.stats(user_id)))


@router.get("/{program_id}", summary="Show a program", responses=responses(401, 404, shown={200: ProgramResource}))
async def show(request: Request, program_id: ProgramIdPath, user_id: User) -> Response:
    """The program's state now, with a summary of each stage, the files that failed and why, and the retries."""
    resource = await _resource(request, runtime_of(request), program_id, user_id)
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if resource["status"] == "processing" else {}
    return answer(resource, headers=headers)


@router.get(
    "/{program_id}/files", summary="List its files", responses=responses(401, 404, 422, shown={200: ProgramFilePage})
)
async def list_files(
    request: Request,
    program_id: ProgramIdPath,
    user_id: User,
    *,
    status: FileState | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """The files in the order they came in, each in exactly one status."""
    page = await runtime_of(request).programs.files(program_id, user_id, status, limit, cursor)
    items = [file_resource(file, language_of(request)) for file in page.items]
    return answer({"items": items, "next_cursor": page.next_cursor})


@router.post(
    "/{program_id}/retry",
    status_code=202,
    summary="Retry files that failed",
    responses=responses(401, 404, 422, shown={202: RetryResource, 200: RetryResource}),
)
async def retry(
    request: Request,
    after: After,
    program_id: ProgramIdPath,
    user_id: User,
    *,
    retry_type: Annotated[RetryType, Query(description="files that failed in which stage")] = "all",
    wait: Annotated[
        int | None, Query(ge=0, description="hold the answer for so many seconds at most, 60 at the longest")
    ] = None,
) -> Response:
    """Let files that failed be tried again, from the stage they failed in; 200 where `wait` was long enough.

    A file that is under a retry already is skipped and named.
    """
    runtime, began = runtime_of(request), time.monotonic()
    # When it was asked for, by the database's clock: what a retry has tried since then is not tried again.
    asked_at = await runtime.programs.now() - timedelta(seconds=time.monotonic() - began)
    made, jobs = await runtime.programs.retry(program_id, user_id, retry_type, asked_at=asked_at)
    if wait is None:
        after.add_task(deliver_all, runtime, jobs)
        return _retry_answer(made, 202, language_of(request))
    await deliver_all(runtime, jobs)
    made = await _until_done(request, made, user_id, min(wait, LONGEST_WAIT_SECONDS))
    return _retry_answer(made, 202 if made.waiting else 200, language_of(request))


@router.get(
    "/{program_id}/retries/{retry_id}",
    summary="Show a retry",
    responses=responses(401, 404, shown={200: RetryResource}),
)
async def show_retry(request: Request, program_id: ProgramIdPath, retry_id: RetryIdPath, user_id: User) -> Response:
    """How far a retry is, and which files it left alone."""
    found = await runtime_of(request).programs.get_retry(program_id, retry_id, user_id)
    return _retry_answer(found, 200, language_of(request))


@router.delete("/{program_id}", summary="Delete a program", responses=responses(401, 404, shown={200: ProgramDeleted}))
async def remove(request: Request, program_id: ProgramIdPath, user_id: User) -> Response:
    """Delete a program: what waits or is being read of it is cancelled, documents that are read stay."""
    cancelled = await runtime_of(request).programs.delete(program_id, user_id)
    message = texts.text("program.deleted", language_of(request))
    return answer({"success": True, "program_id": program_id, "cancelled": len(cancelled), "message": message})


def _owner(request: Request, checked: Checked, fields: Fields, user_id: str | None) -> str | None:
    """Whose program a form makes: where no token is needed the user that it names."""
    identity: Identity = request.app.state.identity
    said = checked.user_id(USER_ID_PATTERN, _LONGEST_USER_ID) if "user_id" in fields else None
    return said or user_id if identity.is_open else user_id


async def _resource(request: Request, runtime: Runtime, program_id: str, user_id: str | None) -> dict[str, Any]:
    """The program, its failures and its retries; read again where a file changed in between."""
    programs = runtime.programs
    for _ in range(_MOST_LOOKS):
        state = await programs.get(program_id, user_id)
        failures = await programs.failures(program_id, user_id)
        if len(failures) == state.counts["failed"]:
            break
    retries = await programs.retries(program_id, user_id)
    place = runtime.objects.place
    return program_resource(state, failures, retries, place=place, language=language_of(request))


async def _until_done(request: Request, made: Retry, user_id: str | None, seconds: float) -> Retry:
    """The retry once every file has its result, or as it stands after `seconds`, or when this process is to end."""
    runtime, drain = runtime_of(request), request.app.state.drain
    deadline = time.monotonic() + seconds
    while made.waiting and not drain.begun and (left := deadline - time.monotonic()) > 0:
        await asyncio.sleep(min(left, _LOOK_SECONDS))
        made = await runtime.programs.get_retry(made.program_id, made.id, user_id)
    return made


def _retry_answer(made: Retry, status: int, language: texts.Language) -> Response:
    resource = retry_resource(made, language)
    headers = {"Location": resource["urls"]["self"]} if status == 202 else {}  # noqa: PLR2004 - HTTP's own number
    return answer(resource, status, headers | ({"Retry-After": "1"} if made.waiting else {}))
