"""Accepting: one transaction makes a program, its files, their documents and their jobs, or nothing."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Connection, insert, null, select

from generation_service.database import db_now
from generation_service.database.programs import program_files, programs
from generation_service.database.tables import documents
from generation_service.database.upsert import upsert
from generation_service.documents.doomed import spare
from generation_service.documents.model import FileType
from generation_service.documents.quota import Quota, check_quota
from generation_service.errors import Refused
from generation_service.jobs.ids import new_job_id
from generation_service.jobs.model import Job, JobId, NewJob
from generation_service.jobs.submission import Admission, submit_batch
from generation_service.objects import program_source_key
from generation_service.programs.kind import KIND
from generation_service.programs.model import Accepted, DoorCode
from generation_service.programs.summaries import PROGRAM_COLUMNS, program_of

_JobsOfFiles: TypeAlias = Mapping[str | None, NewJob]  # by the id of the file's document
STORAGE_RETRY_AFTER_SECONDS = 5
_OF_USE = ("pending", "processing", "completed")
_REFUSALS: Mapping[DoorCode, str] = {
    "empty": "the file has no bytes",
    "too_large": "the file is too large",
    "type_not_taken": "this type of file is not taken",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A file that has come: stored under `document_id`, or turned away with a `code`."""

    file_name: str
    file_size: int
    document_id: str | None = None
    sha256: str | None = None
    file_type: FileType | None = None
    code: DoorCode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A program that is to be accepted; its documents are its owner's. `key` is the caller's Idempotency-Key."""

    program_id: str
    user_id: str
    owner_id: str
    project_id: str
    use_multimodal: bool
    files: Sequence[Arrived]
    fingerprint: str
    key: str | None


def fingerprint_of(project_id: str | None, files: Sequence[Arrived], *, use_multimodal: bool) -> str:
    """What a key stands for: the same files under the same names, in this order, for the same project."""
    meant = [project_id, use_multimodal, [(one.file_name, one.file_size, one.sha256) for one in files]]
    return hashlib.sha256(json.dumps(meant, ensure_ascii=False).encode()).hexdigest()


def doomed_prefix(program_id: str) -> str:
    """The folder of everything that is stored of a program."""
    return f"programs/{program_id}"


def accept(connection: Connection, wanted: Wanted, admission: Admission, quota: Quota) -> Accepted:
    """Accept the program, or find the one that its key made before.

    Raises Refused `idempotency_key_reused` (422), `storage_quota_exceeded` (413), and as `submit`.
    """
    while not _insert_program(connection, wanted):
        first = _replayed(connection, wanted)
        if first is not None:  # else a deletion has just freed the key
            return first
    if not spare(connection, doomed_prefix(wanted.program_id)):  # it took longer than a day
        raise Refused("storage_unavailable", 503, headers={"Retry-After": str(STORAGE_RETRY_AFTER_SECONDS)})
    jobs = _jobs(wanted)
    accepted: list[Job] = []
    if jobs:

        def within(connection: Connection) -> None:
            _insert_documents(connection, wanted, jobs, quota)

        accepted = submit_batch(connection, list(jobs.values()), admission, within=within)
    else:
        _insert_files(connection, wanted, jobs, {})
    return _accepted(connection, wanted.program_id, accepted, replayed=False)


def _insert_program(connection: Connection, wanted: Wanted) -> bool:
    """Whether it is a fresh one: the same key of the same user makes one program, however many ask at once."""
    statement = upsert(connection, programs).values(
        id=wanted.program_id,
        user_id=wanted.user_id,
        project_id=wanted.project_id,
        use_multimodal=wanted.use_multimodal,
        file_count=len(wanted.files),
        idempotency_key=wanted.key,
        fingerprint=wanted.fingerprint,
        created_at=db_now(),
    )
    fresh = connection.execute(statement.on_conflict_do_nothing().returning(programs.c.id))
    return fresh.first() is not None


def _replayed(connection: Connection, wanted: Wanted) -> Accepted | None:
    mine = (programs.c.user_id == wanted.user_id, programs.c.idempotency_key == wanted.key)
    # In a new statement: under READ COMMITTED this one sees what the winner has committed meanwhile.
    first = connection.execute(select(programs.c.id, programs.c.fingerprint).where(*mine)).one_or_none()
    if first is None:
        return None
    if first.fingerprint != wanted.fingerprint:
        raise Refused("idempotency_key_reused", 422)
    return _accepted(connection, first.id, [], replayed=True)


def _accepted(connection: Connection, program_id: str, jobs: Sequence[Job], *, replayed: bool) -> Accepted:
    row = connection.execute(select(*PROGRAM_COLUMNS).where(programs.c.id == program_id)).one()
    return Accepted(program=program_of(row), jobs=jobs, replayed=replayed)


def _jobs(wanted: Wanted) -> _JobsOfFiles:
    """One for each file that was stored; their ids sort as the files do, and so they are begun."""
    stored = [one.document_id for one in wanted.files if one.document_id is not None]
    ids = sorted(new_job_id() for _ in stored)
    return {document_id: _job(wanted, document_id, job_id) for document_id, job_id in zip(stored, ids, strict=True)}


def _job(wanted: Wanted, document_id: str, job_id: JobId) -> NewJob:
    return NewJob(
        kind=KIND,
        user_id=wanted.owner_id,
        project_id=wanted.project_id,
        request={
            "document_id": document_id,
            "use_multimodal": wanted.use_multimodal,
            "program_id": wanted.program_id,
        },
        priority="low",  # what somebody waits for goes first
        id=job_id,
    )


def _insert_documents(connection: Connection, wanted: Wanted, jobs: _JobsOfFiles, quota: Quota) -> None:
    stored = [one for one in wanted.files if one.document_id is not None]
    check_quota(connection, wanted.owner_id, len(stored), sum(one.file_size for one in stored), quota)
    known = _known(connection, wanted.project_id, {one.sha256 for one in stored if one.sha256})
    shared = {
        "project_id": wanted.project_id,
        "user_id": wanted.owner_id,
        "program_id": wanted.program_id,
        "use_multimodal": wanted.use_multimodal,
        "status": "pending",
        "progress": 0.0,
        "created_at": db_now(),
    }
    rows = [
        {
            "id": one.document_id,
            "job_id": jobs[one.document_id].id,
            "object_key": program_source_key(wanted.program_id, one.document_id or ""),
            **{name: getattr(one, name) for name in ("file_name", "file_type", "file_size", "sha256")},
        }
        for one in stored
    ]
    connection.execute(insert(documents).values(**shared), rows)
    _insert_files(connection, wanted, jobs, known)


def _known(connection: Connection, project_id: str, digests: set[str]) -> dict[str, str]:
    """Documents of the project, by their content, that are read or will be; the oldest of each."""
    same = (documents.c.project_id == project_id, documents.c.sha256.in_(digests), documents.c.status.in_(_OF_USE))
    found = select(documents.c.sha256, documents.c.id).where(*same).order_by(documents.c.id.desc())
    return {row.sha256: row.id for row in connection.execute(found)}


def _insert_files(connection: Connection, wanted: Wanted, jobs: _JobsOfFiles, known: dict[str, str]) -> None:
    rows = []
    for position, one in enumerate(wanted.files):
        job = jobs.get(one.document_id)
        rows.append(_file_row(position, one, job.id if job else None, known))
        if one.sha256 and one.document_id:
            known.setdefault(one.sha256, one.document_id)
    counts = dict.fromkeys(("runs", "seconds", "tokens", "retry_count", "auto_retry_count"), 0)
    shared = {"program_id": wanted.program_id, "stage": "preprocessing", "at_once_retried": False, **counts}
    for status, ended_at in (("pending", null()), ("failed", db_now())):
        added = [row for row in rows if row["status"] == status]
        if added:
            connection.execute(insert(program_files).values(**shared, ended_at=ended_at), added)


def _file_row(position: int, file: Arrived, job_id: JobId | None, known: Mapping[str, str]) -> dict[str, Any]:
    failed = file.code is not None
    return {
        "position": position,
        "file_name": file.file_name,
        "file_type": file.file_type,
        "file_size": file.file_size,
        "sha256": file.sha256,
        "document_id": file.document_id,
        "job_id": job_id,
        "duplicate_of": known.get(file.sha256) if file.sha256 else None,
        "status": "failed" if failed else "pending",
        "code": file.code,
        "error": _REFUSALS[file.code] if file.code is not None else None,
        "error_class": "permanent" if failed else None,
    }
