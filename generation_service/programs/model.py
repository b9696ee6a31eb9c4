"""What programs, their files and their retries are, as values; nothing here is ever written back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

from generation_service.jobs.model import Job

FileStatus = Literal["pending", "processing", "completed", "failed"]
ProgramStatus = Literal["processing", "completed", "failed"]
Stage = Literal["preprocessing", "document"]
ErrorClass = Literal["transient", "permanent"]
RetryType = Literal["all", "preprocessing", "document"]
RetrySource = Literal["user", "at_once", "hourly", "daily"]
SkipReason = Literal["under_retry", "retried_meanwhile", "document_deleted", "cancelled", "job_gone"]
DoorCode = Literal["empty", "too_large", "type_not_taken"]
"""Why a file was turned away when it came: nothing of it was stored."""

FILE_STATUSES: tuple[FileStatus, ...] = get_args(FileStatus)
STAGES: tuple[Stage, ...] = get_args(Stage)
SCHEDULED: tuple[RetrySource, ...] = ("hourly", "daily")
NOTHING_STORED = "nothing_stored"
"""Why a retry of a file that was turned away at the door fails at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A batch of files; `settled_at` is null while somebody must look at it now and then."""

    id: str
    user_id: str
    project_id: str
    use_multimodal: bool
    file_count: int
    created_at: datetime
    settled_at: datetime | None
    at_once_due_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramFile:
    """One file of a program, in exactly one status; `stage` is the one it is in, or failed in.

    `job_id` is null where it was turned away at the door, `document_id` there and where it was deleted since.
    """

    program_id: str
    position: int
    file_name: str
    file_type: str | None
    file_size: int
    sha256: str | None
    job_id: str | None
    document_id: str | None
    duplicate_of: str | None
    status: FileStatus
    stage: Stage
    code: str | None
    error: str | None
    error_class: ErrorClass | None
    artefact_key: str | None
    runs: int
    seconds: float
    tokens: int
    retry_count: int
    auto_retry_count: int
    at_once_retried: bool
    retry_id: str | None
    quarantined_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def quarantined(self) -> bool:
        return self.quarantined_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSummary:
    """How many files came to a stage, got through it, and failed in it."""

    total: int
    success: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramState:
    """A program and what its files add up to at one moment.

    `status` is `processing` while a file waits or is read, `failed` where not one is completed.
    `progress` is 0 to 100; `seconds_left` is null where nothing is under way, or nobody can tell yet;
    `next_retry_at` is when files that failed for a passing reason are tried again by themselves.
    """

    program: Program
    status: ProgramStatus
    counts: Mapping[FileStatus, int]
    preprocessing: StageSummary
    document_storage: StageSummary
    progress: float
    seconds_left: float | None
    next_retry_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file that a retry left alone, and why."""

    position: int
    file_name: str
    reason: SkipReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Hopeless:
    """A file that a retry could not begin: it failed again at once, since nothing of it is stored."""

    position: int
    file_name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """One retry of a program's failed files.

    `results` holds, by the stage a file had failed in, `{"retried", "success", "failed"}`; `waiting` is how
    many of the retried have no outcome yet; `completed_at` is null as long as there is one without.
    """

    id: str
    program_id: str
    retry_type: RetryType
    source: RetrySource
    created_at: datetime
    completed_at: datetime | None
    results: Mapping[Stage, Mapping[str, int]]
    skipped: Sequence[Skipped] = field(default=())
    hopeless: Sequence[Hopeless] = field(default=())
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryStats:
    """Retries of files that have an outcome; `success_rate` is 0 to 1, 0 where there is none."""

    total: int
    successful: int
    failed: int
    success_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """An accepted program, the jobs of its files (to be delivered), and whether its key had been used before."""

    program: Program
    jobs: Sequence[Job]
    replayed: bool
