"""Routes of documents: upload, list, search, show, follow, read again, delete."""

import asyncio
import time
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from generation_service.api import examples
from generation_service.api.after import After
from generation_service.api.answers import RETRY_AFTER_SECONDS, answer, language_of
from generation_service.api.auth import Caller, StreamReader
from generation_service.api.document_resources import (
    document_resource,
    document_status,
    document_urls,
    event_in_words,
    passages,
    removed,
    uploaded,
)
from generation_service.api.failures import told_in
from generation_service.api.forms import Checked, Form, uploaded_form
from generation_service.api.headers import ResumeAfter, given_key
from generation_service.api.models_documents import (
    DocumentPage,
    DocumentResource,
    DocumentStatusModel,
    PassagePage,
    RemovedModel,
    UploadModel,
)
from generation_service.api.ports import deliver, runtime_of
from generation_service.api.problems import responses
from generation_service.api.stream import Streams
from generation_service.api.values import ValueProblem
from generation_service.pipeline.recipes import PROJECT_ID_PATTERN

router = APIRouter(prefix="/api/v1/documents", tags=["Documents"])

DocumentIdPath = Annotated[str, Path(description="the document's id")]
ContainerId = Annotated[str, Query(max_length=200, pattern=PROJECT_ID_PATTERN)]


@router.post(
    "/upload",
    status_code=202,
    summary="Upload a document",
    responses=responses(400, 401, 404, 413, 415, 422, 429, shown={202: UploadModel}),
    openapi_extra=examples.UPLOAD,
)
async def upload(request: Request, after: After, user_id: Caller) -> Response:
    """Store a file for the generations of a project. The answer comes once its bytes are stored.

    Its type is told by its bytes, not its name. Reading it is a job of its own (`task_id`); a file that
    cannot be read ends as `failed` with a code and a sentence. What the project has already, by its
    content, is not stored again: the answer is the document that is there (`duplicate_of`).
    """
    began = time.monotonic()
    runtime = runtime_of(request)
    key = given_key(request)
    async with uploaded_form(request, max_file_bytes=runtime.settings.max_upload_bytes) as form:
        project_id, use_multimodal = _checked(form)
        accepted = await runtime.documents.accept(
            user_id=user_id,
            project_id=project_id,
            file_name=form.file_name,
            chunks=form.file.chunks(),
            use_multimodal=use_multimodal,
            key=key,
        )
    if accepted.is_fresh and accepted.job is not None:
        after.add_task(deliver, runtime, accepted.job)
    headers = {"Location": document_urls(accepted.document.id)["self"], "Retry-After": str(RETRY_AFTER_SECONDS)}
    if accepted.replayed:
        headers["Idempotent-Replayed"] = "true"
    return answer(uploaded(accepted, time.monotonic() - began, language_of(request)), 202, headers)


@router.get("", summary="List documents", responses=responses(401, 422, shown={200: DocumentPage}))
async def list_documents(
    request: Request,
    user_id: Caller,
    *,
    container_id: ContainerId | None = None,
    status: Literal["pending", "processing", "completed", "failed"] | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Your documents, the newest first. Pass `next_cursor` as `cursor` to go on."""
    page = await runtime_of(request).documents.list(
        user_id=user_id, project_id=container_id, status=status, limit=limit, cursor=cursor
    )
    items = [document_resource(document, language_of(request)) for document in page.items]
    return answer({"items": items, "next_cursor": page.next_cursor})


@router.get("/search", summary="Search documents", responses=responses(401, 404, 422, shown={200: PassagePage}))
async def search(
    request: Request,
    user_id: Caller,
    *,
    container_id: ContainerId,
    q: Annotated[str, Query(min_length=1, max_length=1000, pattern=r"\S", description="words, or a question")],
    limit: Annotated[int, Query(ge=1, le=500)] = 10,
) -> Response:
    """The passages of a project's documents that answer `q` best, with the places that matched."""
    found = await runtime_of(request).documents.search(user_id=user_id, project_id=container_id, query=q, limit=limit)
    return answer(await asyncio.to_thread(passages, found, q))  # letters are looked at one by one


@router.get("/{document_id}", summary="Show a document", responses=responses(401, 404, shown={200: DocumentResource}))
async def show(request: Request, document_id: DocumentIdPath, user_id: Caller) -> Response:
    """The document's state now."""
    document = await runtime_of(request).documents.get(document_id, user_id)
    return answer(document_resource(document, language_of(request)))


@router.delete("/{document_id}", summary="Delete a document", responses=responses(401, 404, shown={200: RemovedModel}))
async def remove(request: Request, document_id: DocumentIdPath, user_id: Caller) -> Response:
    """Delete a document with what was read of it and its bytes, whatever it is doing.

    The answer says what was generated from it; that stays. A file of a program keeps its state there.
    """
    gone = await runtime_of(request).documents.remove(document_id, user_id)
    return answer(removed(gone, language_of(request)))


@router.post(
    "/{document_id}/retry",
    status_code=202,
    summary="Read a failed document again",
    responses=responses(401, 404, 409, shown={202: DocumentResource}),
)
async def retry(request: Request, after: After, document_id: DocumentIdPath, user_id: Caller) -> Response:
    """Let a document that could not be read be read again, with fresh attempts."""
    runtime = runtime_of(request)
    after.add_task(deliver, runtime, await runtime.documents.retry(document_id, user_id))
    document = await runtime.documents.get(document_id, user_id)
    headers = {"Location": document_urls(document.id)["self"], "Retry-After": str(RETRY_AFTER_SECONDS)}
    return answer(document_resource(document, language_of(request)), 202, headers)


@router.get(
    "/{document_id}/status",
    summary="How far is reading it?",
    responses=responses(401, 404, shown={200: DocumentStatusModel}),
)
async def status_of(request: Request, document_id: DocumentIdPath, user_id: Caller) -> Response:
    """The short form, for those who ask again and again."""
    document = await runtime_of(request).documents.get(document_id, user_id)
    unread = document.status in {"pending", "processing"}
    return answer(document_status(document, language_of(request)), headers={"Retry-After": "1"} if unread else {})


@router.get(
    "/{document_id}/events",
    summary="Follow the reading of a document",
    response_class=Response,
    responses=examples.STREAM | responses(400, 401, 404, 410, 422, 429),
    openapi_extra=examples.FOLLOW,
)
async def events(
    request: Request,
    document_id: DocumentIdPath,
    reader: StreamReader,
    after: ResumeAfter,
) -> Response:
    """The events of the job that reads it, by the same rules as those of a generation; errors in your language."""
    runtime = runtime_of(request)
    document = await runtime.documents.get(document_id, reader.user_id)
    job = await runtime.jobs.get(document.job_id)
    streams: Streams = request.app.state.streams
    return reader.mark(streams.open(job, after, told_in(language_of(request), event_in_words)), request)


def _checked(form: Form) -> tuple[str, bool]:
    """The project and `use_multimodal` of a form with a file. Raises Invalid."""
    checked = Checked(form.fields)
    if not form.has_file:
        checked.problems.append(ValueProblem("file", "missing"))
    project_id, use_multimodal = checked.project_id(required=True), checked.use_multimodal()
    checked.refuse()
    return str(project_id), use_multimodal
