"""Documents and their passages as resources, with sentences in the caller's language."""

from collections.abc import Mapping, Sequence

from generation_service import texts
from generation_service.api import failures
from generation_service.api.resources import rfc3339
from generation_service.documents import Accepted, Document, Removed, failure_text, state_of
from generation_service.jobs.model import Json
from generation_service.retrieval import Passage, highlights
from generation_service.texts import Language


def document_urls(document_id: str) -> dict[str, str]:
    """Where a document's resource, its short form, its events and its retry are."""
    base = f"/api/v1/documents/{document_id}"
    return {"self": base, **{name: f"{base}/{name}" for name in ("status", "events", "retry")}}


def document_status(document: Document, language: Language) -> dict[str, Json]:
    """The short form of a document."""
    state = state_of(document, language)
    return {**state, "started_at": rfc3339(state["started_at"]), "completed_at": rfc3339(state["completed_at"])}


def document_resource(document: Document, language: Language) -> dict[str, Json]:
    """A document."""
    return {
        **document_status(document, language),
        "container_id": document.project_id,
        "program_id": document.program_id,
        "file_type": f".{document.file_type}",
        "file_size": document.file_size,
        "sha256": document.sha256,
        "use_multimodal": document.use_multimodal,
        "pages": document.pages,
        "characters": document.characters,
        "language": document.language,
        "created_at": rfc3339(document.created_at),
        "urls": document_urls(document.id),
    }


def uploaded(accepted: Accepted, seconds: float, language: Language) -> dict[str, Json]:
    """The answer to an upload."""
    document = accepted.document
    message = texts.text(f"document.status.{'duplicate' if accepted.duplicate_of else 'accepted'}", language)
    return {
        "success": True,
        "message": message,
        "document_id": document.id,
        "duplicate_of": accepted.duplicate_of,
        "file_info": {
            "original_name": document.file_name,
            "file_size": document.file_size,
            "file_type": f".{document.file_type}",
        },
        "processing_stats": {"upload_time": round(seconds, 3), "status": "processing", "message": message},
        "task_id": document.job_id,
    }


def removed(gone: Removed, language: Language) -> dict[str, Json]:
    """The answer to a removal."""
    count = len(gone.generated)
    return {
        "success": True,
        "document_id": gone.document_id,
        "message": texts.text(f"document.removed{'.generated' if count else ''}", language, count=count),
        "deleted": {"chunks": gone.chunks, "objects": gone.objects},
        "generated": [
            {
                "job_id": one.job_id,
                "episode_id": one.episode_id,
                "number": one.number,
                "title": one.title,
                "project_id": one.project_id,
                "created_at": rfc3339(one.created_at),
                "url": f"/api/projects/{one.project_id}/episodes/{one.number}",
            }
            for one in gone.generated
        ],
    }


def event_in_words(data: Mapping[str, Json], language: Language) -> Mapping[str, Json]:
    """What an event of a job that reads a document says, its error as a sentence for people."""
    told, error = failures.event(data, language), data.get("error")
    if not isinstance(error, Mapping) or not isinstance(code := error.get("code"), str):
        return told
    return {**told, "error": {**error, "message": failure_text(code, language)}}


def passages(found: Sequence[Passage], query: str) -> dict[str, Json]:
    """The answer to a search."""
    return {"items": [_passage(one, query) for one in found], "next_cursor": None}


def _passage(found: Passage, query: str) -> dict[str, Json]:
    return {
        "document_id": found.source_id,
        "file_name": found.label,
        "heading": found.heading,
        "page": found.page,
        "text": found.text,
        "highlights": [{"start": start, "end": end} for start, end in highlights(found.text, query)],
        "score": found.score,
        "chunk_id": found.chunk_id,
    }
