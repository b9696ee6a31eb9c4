"""The shapes of answers about programs, as the API documentation shows them."""

from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field

from generation_service.api.examples_programs import METADATA, RETRIED
from generation_service.api.models_documents import FileState, Shape
from generation_service.programs.model import ErrorClass, ProgramStatus, RetrySource, RetryType, SkipReason, Stage


class FileCounts(Shape):
    """The files of a program by status; each is in exactly one, so they add up to `total`."""

    total: int
    pending: int
    processing: int
    completed: int
    failed: int


class StageSummaryModel(Shape):
    """How many files came to a stage, got through it, and failed in it."""

    total: int
    success: int
    failed: int


class FailedFile(Shape):
    """Why a file failed, and what it has cost so far."""

    error: str = Field(description="why, for people, and what to do")
    code: str | None = Field(description="why, for programs")
    error_class: ErrorClass | None = Field(description="transient: it is tried again by itself")
    quarantined: bool = Field(description="it has used its scheduled tries; you can still retry it")
    retry_count: int
    attempts: int
    seconds: float = Field(description="time of processing, all attempts together")
    tokens: int = Field(description="of an embedding model, all attempts together")
    timestamp: datetime | None


class PreprocessingFailure(FailedFile):
    """A file that could not be read."""

    file_path: str = Field(description="the file's name: a label, never a path")
    index: int


class StorageFailure(FailedFile):
    """A file that was read, and could not be stored as a document."""

    json_key: str
    filename: str | None = Field(description="of what was read")
    s3_path: str | None = Field(description="where that is")
    source_file_path: str
    source_index: int


class PreprocessingModel(Shape):
    """The first stage: reading."""

    summary: StageSummaryModel
    failed_files: list[PreprocessingFailure]


class DocumentStorageModel(Shape):
    """The second stage: storing what was read as a document."""

    summary: StageSummaryModel
    failed_files: list[StorageFailure]


class RetryCounts(Shape):
    """Of the files that had failed in one stage."""

    retried: int
    success: int
    failed: int


class RetryResults(Shape):
    """By the stage that the files had failed in."""

    preprocessing: RetryCounts
    document: RetryCounts


class RetryRecord(Shape):
    """One retry in a program's history, the oldest first."""

    retry_id: str
    retry_type: RetryType
    source: RetrySource
    timestamp: datetime
    completed_at: datetime | None
    results: RetryResults


class ProgramMetadata(Shape):
    """What became of the files of a program."""

    model_config = ConfigDict(json_schema_extra={"example": METADATA})

    preprocessing: PreprocessingModel
    document_storage: DocumentStorageModel
    total_expected: int
    total_successful_documents: int
    has_partial_failure: bool
    retry_history: list[RetryRecord]


class ProgramUrls(Shape):
    """Where to go on from here."""

    self: str
    files: str
    retry: str


class ProgramSummary(Shape):
    """A program as lists show it."""

    program_id: str
    user_id: str
    container_id: str = Field(description="the project whose generations may read its documents")
    status: ProgramStatus = Field(description="`failed` where not one file is completed")
    message: str
    progress: float = Field(ge=0, le=100)
    estimated_seconds_left: float | None = Field(description="null: nothing is under way, or nobody can tell yet")
    files: FileCounts
    use_multimodal: bool
    next_retry_at: datetime | None = Field(description="when failed files are tried again by themselves")
    created_at: datetime
    completed_at: datetime | None
    urls: ProgramUrls


class ProgramResource(ProgramSummary):
    """A program."""

    metadata_json: ProgramMetadata


class ProgramPage(Shape):
    """One page of programs, the newest first."""

    items: list[ProgramSummary]
    next_cursor: str | None


class ProgramFileModel(Shape):
    """One file of a program."""

    index: int
    file_path: str = Field(description="the file's name: a label, never a path")
    file_type: str | None = Field(description="null: turned away when it came")
    file_size: int
    status: FileState
    stage: Stage = Field(description="the one it is in, or failed in")
    code: str | None
    error: str | None
    error_class: ErrorClass | None
    retry_count: int
    auto_retry_count: int = Field(description="of these, by the schedule")
    attempts: int
    quarantined: bool
    document_id: str | None = Field(description="null: turned away, or deleted since")
    duplicate_of: str | None = Field(description="a document of the project with the same content")
    seconds: float
    tokens: int
    started_at: datetime | None
    ended_at: datetime | None


class ProgramFilePage(Shape):
    """One page of a program's files, in the order they came in."""

    items: list[ProgramFileModel]
    next_cursor: str | None


class SkippedFile(Shape):
    """A file that a retry left alone."""

    index: int
    file_path: str
    reason: SkipReason
    message: str


class HopelessFile(Shape):
    """A file that failed again at once: nothing of it was stored when it came."""

    index: int
    file_path: str
    reason: Literal["nothing_stored"]
    message: str


class RetryUrls(Shape):
    """Where to go on from here."""

    self: str
    program: str


class RetryResource(Shape):
    """A retry of a program's failed files."""

    model_config = ConfigDict(json_schema_extra={"example": RETRIED})

    retry_id: str
    program_id: str
    retry_type: RetryType
    source: RetrySource
    status: Literal["processing", "completed"]
    results: RetryResults
    waiting: int = Field(description="of the retried files, those without a result yet")
    skipped: list[SkippedFile]
    failed: list[HopelessFile] = Field(description="of the failed files, those that no retry can help")
    message: str
    created_at: datetime
    completed_at: datetime | None
    urls: RetryUrls


class RetryStatsModel(Shape):
    """How retries of your files ended."""

    total_retries: int
    successful_retries: int
    failed_retries: int
    retry_success_rate: float = Field(ge=0, le=1)


class ProgramDeleted(Shape):
    """A program that is gone."""

    success: bool
    program_id: str
    cancelled: int = Field(description="files that waited or were being read")
    message: str
