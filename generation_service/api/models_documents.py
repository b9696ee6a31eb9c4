"""The shapes of answers about documents, as the API documentation shows them."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

FileState = Literal["pending", "processing", "completed", "failed"]


class Shape(BaseModel):
    """A shape that has these fields and no others."""

    model_config = ConfigDict(extra="forbid")


class FileInfo(Shape):
    """The file as it was taken."""

    original_name: str = Field(description="a label, never a path")
    file_size: int
    file_type: str = Field(description="by its bytes: .pdf, .docx, .pptx, .xlsx, .html, .hwp, .hwpx, .txt or .md")


class ProcessingStats(Shape):
    """How the upload went, and what happens now."""

    upload_time: float = Field(description="seconds")
    status: str
    message: str


class UploadModel(Shape):
    """An accepted upload."""

    success: bool
    message: str
    document_id: str
    duplicate_of: str | None = Field(description="the document of the project that has the same content: this one")
    file_info: FileInfo
    processing_stats: ProcessingStats
    task_id: str = Field(description="the id of the job that reads it")


class DocumentStatusModel(Shape):
    """Where a document stands."""

    success: bool
    document_id: str
    file_name: str
    status: FileState
    progress: float = Field(ge=0, le=100)
    code: str | None = Field(description="why it failed, for programs")
    error: str | None = Field(description="why it failed, for people")
    started_at: datetime | None
    completed_at: datetime | None
    message: str
    task_id: str


class DocumentUrls(Shape):
    """Where to go on from here."""

    self: str
    status: str
    events: str
    retry: str


class DocumentResource(DocumentStatusModel):
    """A document."""

    container_id: str = Field(description="the project whose generations may read it")
    program_id: str | None = Field(description="the program it came in; null: uploaded by itself")
    file_type: str
    file_size: int
    sha256: str
    use_multimodal: bool = Field(description="whether images of text are read, too")
    pages: int | None
    characters: int | None
    language: str | None
    created_at: datetime
    urls: DocumentUrls


class DocumentPage(Shape):
    """One page of documents, the newest first."""

    items: list[DocumentResource]
    next_cursor: str | None


class Deleted(Shape):
    """What went with a document."""

    chunks: int
    objects: int = Field(description="0 where the storage is away: they are deleted once it is back")


class GeneratedModel(Shape):
    """An episode that was written from a document."""

    job_id: str
    episode_id: str
    number: int
    title: str
    project_id: str
    created_at: datetime
    url: str


class RemovedModel(Shape):
    """A document that is gone, and what had been generated from it: that stays."""

    success: bool
    document_id: str
    message: str
    deleted: Deleted
    generated: list[GeneratedModel]


class Highlight(Shape):
    """A place in a passage's text that the question matched: characters from `start` up to `end`."""

    start: int
    end: int


class PassageModel(Shape):
    """A passage of a document."""

    document_id: str
    file_name: str
    heading: str | None
    page: int | None
    text: str
    highlights: list[Highlight]
    score: float = Field(description="comparable within one answer only")
    chunk_id: str


class PassagePage(Shape):
    """The passages that answer a question best, the best first."""

    items: list[PassageModel]
    next_cursor: None = Field(description="always null: there is one page, of `limit` passages at most")
