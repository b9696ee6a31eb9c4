"""Routes of documents: upload, list, show, follow."""

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from generation_service import texts
from generation_service.api import examples
from generation_service.api.after import After
from generation_service.api.answers import RETRY_AFTER_SECONDS, answer, language_of
from generation_service.api.auth import Caller, StreamReader
from generation_service.api.forms import Form, uploaded_form
from generation_service.api.headers import ResumeAfter, given_key
from generation_service.api.models import DocumentPage, DocumentResource, DocumentStatusModel, UploadModel
from generation_service.api.ports import deliver, runtime_of
from generation_service.api.problems import Invalid, responses
from generation_service.api.resources import rfc3339
from generation_service.api.stream import Streams
from generation_service.api.values import ValueProblem, value_problems
from generation_service.documents import Accepted, Document, state_of
from generation_service.jobs.model import Json
from generation_service.pipeline.recipes import PROJECT_ID_PATTERN, ProjectId

router = APIRouter(prefix="/api/v1/documents", tags=["Documents"])

DocumentIdPath = Annotated[str, Path(description="the document's id")]

_PROJECT_ID: TypeAdapter[str] = TypeAdapter(ProjectId)
_BOOLEAN = {"true": True, "1": True, "false": False, "0": False, "": False}


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
    cannot be read ends as `failed` with a code and a sentence.
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
            chunks=form.chunks(),
            use_multimodal=use_multimodal,
            key=key,
        )
    if not accepted.replayed:
        after.add_task(deliver, runtime, accepted.job)
    headers = {"Location": _urls(accepted.document.id)["self"], "Retry-After": str(RETRY_AFTER_SECONDS)}
    if accepted.replayed:
        headers["Idempotent-Replayed"] = "true"
    return answer(_uploaded(accepted, time.monotonic() - began, language_of(request)), 202, headers)


@router.get("", summary="List documents", responses=responses(401, 422, shown={200: DocumentPage}))
async def list_documents(
    request: Request,
    user_id: Caller,
    *,
    container_id: Annotated[str | None, Query(max_length=200, pattern=PROJECT_ID_PATTERN)] = None,
    status: Literal["pending", "processing", "completed", "failed"] | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Your documents, the newest first. Pass `next_cursor` as `cursor` to go on."""
    page = await runtime_of(request).documents.list(
        user_id=user_id, project_id=container_id, status=status, limit=limit, cursor=cursor
    )
    items = [_resource(document, language_of(request)) for document in page.items]
    return answer({"items": items, "next_cursor": page.next_cursor})


@router.get("/{document_id}", summary="Show a document", responses=responses(401, 404, shown={200: DocumentResource}))
async def show(request: Request, document_id: DocumentIdPath, user_id: Caller) -> Response:
    """The document's state now."""
    document = await runtime_of(request).documents.get(document_id, user_id)
    return answer(_resource(document, language_of(request)))


@router.get(
    "/{document_id}/status",
    summary="How far is reading it?",
    responses=responses(401, 404, shown={200: DocumentStatusModel}),
)
async def status_of(request: Request, document_id: DocumentIdPath, user_id: Caller) -> Response:
    """The short form, for those who ask again and again."""
    document = await runtime_of(request).documents.get(document_id, user_id)
    unread = document.status in {"pending", "processing"}
    return answer(_state(document, language_of(request)), headers={"Retry-After": "1"} if unread else {})


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
    """The events of the job that reads it, by the same rules as those of a generation."""
    runtime = runtime_of(request)
    document = await runtime.documents.get(document_id, reader.user_id)
    job = await runtime.jobs.get(document.job_id)
    streams: Streams = request.app.state.streams
    return reader.mark(streams.open(job, after), request)


def _checked(form: Form) -> tuple[str, bool]:
    """The project and `use_multimodal` of a form. Raises Invalid."""
    problems: list[ValueProblem] = []
    if form.file_name is None or (not form.file_name and not form.file_size):
        problems.append(ValueProblem("file", "missing"))
    project_id = form.fields.get("container_id")
    if project_id is None:
        problems.append(ValueProblem("container_id", "missing"))
    else:
        try:
            _PROJECT_ID.validate_python(project_id)
        except ValidationError as error:
            found = value_problems(dict(one) for one in error.errors(include_url=False, include_input=False))
            problems += [ValueProblem("container_id", one.code, one.params) for one in found]
    use_multimodal = _BOOLEAN.get(form.fields.get("use_multimodal", "").strip().lower())
    if use_multimodal is None:
        problems.append(ValueProblem("use_multimodal", "wrong_type", (("expected", "true or false"),)))
    if problems or project_id is None or use_multimodal is None:
        raise Invalid(problems)
    return project_id, use_multimodal


def _uploaded(accepted: Accepted, seconds: float, language: texts.Language) -> dict[str, Json]:
    document = accepted.document
    message = texts.text("document.status.accepted", language)
    return {
        "success": True,
        "message": message,
        "document_id": document.id,
        "file_info": {
            "original_name": document.file_name,
            "file_size": document.file_size,
            "file_type": f".{document.file_type}",
        },
        "processing_stats": {"upload_time": round(seconds, 3), "status": "processing", "message": message},
        "task_id": accepted.job.id,
    }


def _state(document: Document, language: texts.Language) -> dict[str, Json]:
    state = state_of(document, language)
    return {**state, "started_at": rfc3339(state["started_at"]), "completed_at": rfc3339(state["completed_at"])}


def _resource(document: Document, language: texts.Language) -> dict[str, Json]:
    return {
        **_state(document, language),
        "container_id": document.project_id,
        "file_type": f".{document.file_type}",
        "file_size": document.file_size,
        "sha256": document.sha256,
        "pages": document.pages,
        "characters": document.characters,
        "language": document.language,
        "created_at": rfc3339(document.created_at),
        "urls": _urls(document.id),
    }


def _urls(document_id: str) -> dict[str, str]:
    base = f"/api/v1/documents/{document_id}"
    return {"self": base, "status": f"{base}/status", "events": f"{base}/events"}
