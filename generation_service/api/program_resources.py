"""Programs, their files and their retries as resources, with sentences in the caller's language."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from generation_service import texts
from generation_service.api.resources import rfc3339
from generation_service.documents import failure_text
from generation_service.jobs.model import Json
from generation_service.programs.model import Hopeless, ProgramFile, ProgramState, Retry, RetryStats, Skipped
from generation_service.texts import Language

Place = Callable[[str], str]
"""Where the object under a key is, for people."""


def program_urls(program_id: str) -> dict[str, str]:
    """Where a program's resource, its files and its retry are."""
    base = f"/v1/programs/{program_id}"
    return {"self": base, "files": f"{base}/files", "retry": f"{base}/retry"}


def program_summary(state: ProgramState, language: Language) -> dict[str, Json]:
    """A program as lists show it."""
    program = state.program
    return {
        "program_id": program.id,
        "user_id": program.user_id,
        "container_id": program.project_id,
        "status": state.status,
        "message": _message(state, language),
        "progress": state.progress,
        "estimated_seconds_left": state.seconds_left,
        "files": {"total": program.file_count, **state.counts},
        "use_multimodal": program.use_multimodal,
        "next_retry_at": rfc3339(state.next_retry_at),
        "created_at": rfc3339(program.created_at),
        "completed_at": rfc3339(program.settled_at),
        "urls": program_urls(program.id),
    }


def program_resource(
    state: ProgramState,
    failures: Sequence[ProgramFile],
    retries: Sequence[Retry],
    *,
    place: Place,
    language: Language,
) -> dict[str, Json]:
    """A program with what became of its files."""
    unread = [one for one in failures if one.stage == "preprocessing"]
    unstored = [one for one in failures if one.stage == "document"]
    metadata = {
        "preprocessing": {
            "summary": asdict(state.preprocessing),
            "failed_files": [_unread(one, language) for one in unread],
        },
        "document_storage": {
            "summary": asdict(state.document_storage),
            "failed_files": [_unstored(one, place, language) for one in unstored],
        },
        "total_expected": state.program.file_count,
        "total_successful_documents": state.counts["completed"],
        "has_partial_failure": state.counts["failed"] > 0,
        "retry_history": [_record(one) for one in retries],
    }
    return {**program_summary(state, language), "metadata_json": metadata}


def file_resource(file: ProgramFile, language: Language) -> dict[str, Json]:
    """One file of a program."""
    shown = ("file_size", "status", "stage", "code", "error_class", "retry_count", "auto_retry_count", "quarantined")
    return {
        "index": file.position,
        "file_path": file.file_name,
        "file_type": f".{file.file_type}" if file.file_type else None,
        **{name: getattr(file, name) for name in shown},
        "error": failure_text(file.code, language) if file.status == "failed" else None,
        "attempts": file.runs,
        "document_id": file.document_id,
        "duplicate_of": file.duplicate_of,
        "seconds": round(file.seconds, 3),
        "tokens": file.tokens,
        "started_at": rfc3339(file.started_at),
        "ended_at": rfc3339(file.ended_at),
    }


def retry_resource(retry: Retry, language: Language) -> dict[str, Json]:
    """One retry; `results` counts what has an outcome so far."""
    program = program_urls(retry.program_id)["self"]
    return {
        "retry_id": retry.id,
        "program_id": retry.program_id,
        "retry_type": retry.retry_type,
        "source": retry.source,
        "status": "processing" if retry.waiting else "completed",
        "results": _results(retry),
        "waiting": retry.waiting,
        "skipped": [_named(one, f"program.skipped.{one.reason}", language) for one in retry.skipped],
        "failed": [_named(one, f"document.code.{one.reason}", language) for one in retry.hopeless],
        "message": _retry_message(retry, language),
        "created_at": rfc3339(retry.created_at),
        "completed_at": rfc3339(retry.completed_at),
        "urls": {"self": f"{program}/retries/{retry.id}", "program": program},
    }


def stats_resource(stats: RetryStats) -> dict[str, Json]:
    """How retries ended."""
    return {
        "total_retries": stats.total,
        "successful_retries": stats.successful,
        "failed_retries": stats.failed,
        "retry_success_rate": stats.success_rate,
    }


def _message(state: ProgramState, language: Language) -> str:
    counts, total = state.counts, state.program.file_count
    if state.status == "processing":
        return texts.text("program.processing", language, done=counts["completed"] + counts["failed"], total=total)
    if not counts["failed"]:
        return texts.text("program.completed", language, total=total)
    told: dict[str, Any] = {"completed": counts["completed"], "failed": counts["failed"], "total": total}
    return texts.text("program.partial", language, program_id=state.program.id, **told)


def _failed(file: ProgramFile, language: Language) -> dict[str, Json]:
    return {
        "error": failure_text(file.code, language),
        "code": file.code,
        "error_class": file.error_class,
        "quarantined": file.quarantined,
        "retry_count": file.retry_count,
        "attempts": file.runs,
        "seconds": round(file.seconds, 3),
        "tokens": file.tokens,
        "timestamp": rfc3339(file.ended_at),
    }


def _unread(file: ProgramFile, language: Language) -> dict[str, Json]:
    return {"file_path": file.file_name, "index": file.position, **_failed(file, language)}


def _unstored(file: ProgramFile, place: Place, language: Language) -> dict[str, Json]:
    key = file.artefact_key
    return {
        "json_key": f"json_file_{file.position}",
        "filename": key.rpartition("/")[2] if key else None,
        "s3_path": place(key) if key else None,
        "source_file_path": file.file_name,
        "source_index": file.position,
        **_failed(file, language),
    }


def _record(retry: Retry) -> dict[str, Json]:
    return {
        "retry_id": retry.id,
        "retry_type": retry.retry_type,
        "source": retry.source,
        "timestamp": rfc3339(retry.created_at),
        "completed_at": rfc3339(retry.completed_at),
        "results": _results(retry),
    }


def _results(retry: Retry) -> dict[str, Json]:
    return {stage: dict(counts) for stage, counts in retry.results.items()}


def _named(file: Skipped | Hopeless, key: str, language: Language) -> dict[str, Json]:
    return {
        "index": file.position,
        "file_path": file.file_name,
        "reason": file.reason,
        "message": texts.text(key, language),
    }


def _retry_message(retry: Retry, language: Language) -> str:
    retried = sum(counts["retried"] for counts in retry.results.values())
    success = sum(counts["success"] for counts in retry.results.values())
    key = "under_way" if retry.waiting else "done" if retried else "nothing"
    told = [texts.text(f"program.retry.{key}", language, retried=retried, success=success, waiting=retry.waiting)]
    for name, files in (("hopeless", retry.hopeless), ("skipped", retry.skipped)):
        if files:
            told.append(texts.text(f"program.retry.{name}", language, count=len(files)))
    return " ".join(told)
