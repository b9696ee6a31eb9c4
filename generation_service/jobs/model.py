"""What a job is: its states and their one table of legal moves, its values, and its endings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NewType, TypeAlias

JobId = NewType("JobId", str)
Json: TypeAlias = Any  # what JSON can hold

Status = Literal["pending", "running", "completed", "failed", "cancelled"]
StepStatus = Literal["pending", "running", "completed", "failed", "cancelled", "skipped"]
Backend = Literal["rq", "background_tasks"]
Priority = Literal["high", "default", "low"]
Move = Literal["claim", "release", "retry", "rescue", "switch", "take_over", "complete", "fail", "cancel", "reopen"]
EventType = Literal["status", "step", "progress", "token", "retry", "switched", "completed", "failed", "cancelled"]

PRIORITIES: tuple[Priority, ...] = ("high", "default", "low")  # the position is what is stored
BACKENDS: tuple[Backend, ...] = ("rq", "background_tasks")
LIVE: frozenset[Status] = frozenset({"pending", "running"})
ENDED: frozenset[Status] = frozenset({"completed", "failed", "cancelled"})

# Every move a job may make, by its name. Each is made by one compare-and-set on the state it leaves.
MOVES: Mapping[Move, tuple[frozenset[Status], Status]] = {
    "claim": (frozenset({"pending"}), "running"),
    "release": (frozenset({"running"}), "pending"),
    "retry": (frozenset({"running"}), "pending"),
    "rescue": (frozenset({"running"}), "pending"),
    "switch": (frozenset({"pending"}), "pending"),
    "take_over": (frozenset({"running"}), "pending"),
    "complete": (frozenset({"running"}), "completed"),
    "fail": (frozenset({"running"}), "failed"),
    "cancel": (LIVE, "cancelled"),
    "reopen": (frozenset({"failed"}), "pending"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Why a job or a step failed, as the resource shows it."""

    code: str
    message: str
    retryable: bool

    def as_json(self) -> dict[str, Json]:
        return {"code": self.code, "message": self.message, "retryable": self.retryable}


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one or more model calls cost, in tokens, and which model (or drafter) was asked."""

    input_tokens: int = 0
    output_tokens: int = 0
    model: str | None = None

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            model=other.model or self.model,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One row of `jobs`; a value, never written back."""

    id: JobId
    kind: str
    recipe: str | None
    project_id: str | None
    user_id: str
    request: Mapping[str, Json]
    priority: Priority
    backend: Backend
    status: Status
    fence: int
    seq: int
    failures: int
    max_attempts: int
    steps_since_claim: int
    claims: int
    holder: str | None
    lease_until: datetime | None
    due_at: datetime | None
    delivery: int
    delivered_at: datetime | None
    progress: float
    budget_tokens: int | None
    input_tokens: int
    output_tokens: int
    saved_tokens: int
    error: Mapping[str, Json] | None
    result: Mapping[str, Json] | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None

    @property
    def attempt(self) -> int:
        """The try this job is in, or ended in, from 1."""
        return max(1, self.failures) if self.status == "failed" else min(self.failures + 1, self.max_attempts)

    @property
    def ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One row of `steps`: the latest try of one step of one job."""

    job_id: JobId
    name: str
    ordinal: int
    status: StepStatus
    attempt: int
    fence: int
    first_sequence: int
    started_at: datetime
    completed_at: datetime | None
    reason: str | None  # as of StepOutcome; a sentence in rows of before
    error: Mapping[str, Json] | None
    output: Mapping[str, Json] | None
    input_tokens: int
    output_tokens: int

    @property
    def committed(self) -> bool:
        """Whether this step is done and never runs again (I4)."""
        return self.status in {"completed", "skipped"}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """One event of a job's log; `data` repeats the sequence."""

    job_id: JobId
    sequence: int
    type: EventType
    data: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What is submitted. `request` is what the pipeline reads; ids inside it must exist or be free text."""

    kind: str
    user_id: str
    request: Mapping[str, Json]
    recipe: str | None = None
    project_id: str | None = None
    priority: Priority = "default"
    max_attempts: int | None = None  # None: the service's default
    budget_tokens: int | None = None
    id: JobId | None = None  # given where another row of the same transaction names it
    backend: Backend | None = None  # only for what tries one backend; None: the mode's


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """A caller's key for one route; `fingerprint` is the SHA-256 of the validated request."""

    route: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Submitted:
    """The answer to a submission: the job as it stands now, and whether the key had been used before."""

    job: Job
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A job taken for this process, with the steps it has committed already."""

    job: Job
    steps: Mapping[str, StepRecord] = field(default_factory=dict)

    @property
    def id(self) -> JobId:
        return self.job.id

    @property
    def fence(self) -> int:
        return self.job.fence
