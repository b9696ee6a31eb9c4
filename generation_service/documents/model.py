"""What a document is: one row of `documents`, as a value."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

FileType: TypeAlias = Literal["pdf", "docx", "pptx", "xlsx", "html", "hwp", "hwpx", "txt", "md"]
DocumentStatus = Literal["pending", "processing", "completed", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One uploaded document; never written back.

    `progress` is 0 to 100; `code` and `error` say why it failed; `pages`, `characters` and
    `language` are known once it was read; `held_by` is the job that reads it; `program_id` is the
    batch it came in, if it did.
    """

    id: str
    project_id: str
    user_id: str
    job_id: str
    file_name: str
    file_type: FileType
    file_size: int
    sha256: str
    object_key: str
    use_multimodal: bool
    program_id: str | None
    status: DocumentStatus
    progress: float
    held_by: str | None
    code: str | None
    error: str | None
    pages: int | None
    characters: int | None
    language: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
