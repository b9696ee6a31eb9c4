"""The shapes of answers, as the API documentation shows them."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from generation_service.jobs.model import Backend, Priority, Status, StepStatus


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ErrorModel(_Shape):
    """Why a job or a step failed."""

    code: str
    message: str = Field(description="for people, by Accept-Language")
    retryable: bool = Field(description="whether trying again later could have helped")


class StepModel(_Shape):
    """One step of a job, in the order of its recipe."""

    name: str
    status: StepStatus
    attempt: int | None = Field(description="the job's attempt in which it ran last; null: not yet")
    started_at: datetime | None
    completed_at: datetime | None
    duration_seconds: float | None
    reason: str | None = Field(description="why it was skipped, for people, by Accept-Language")
    reason_code: str | None = Field(description="the same for programs")
    error: ErrorModel | None


class UsageModel(_Shape):
    """Tokens of the language model."""

    input_tokens: int
    output_tokens: int
    saved_tokens: int = Field(description="not paid again, since the steps were committed")


class JobUrls(_Shape):
    """Where to go on from here."""

    self: str
    events: str
    cancel: str
    retry: str
    result: str


class JobResource(_Shape):
    """A job."""

    job_id: str
    status: Status
    backend: Backend
    recipe: str | None
    project_id: str | None
    priority: Priority
    attempt: int = Field(description="from 1")
    max_attempts: int
    progress: float = Field(ge=0, le=100)
    message: str = Field(description="for people, by Accept-Language")
    steps: list[StepModel]
    error: ErrorModel | None
    result: dict[str, Any] | None = Field(description="`episode_id` and `episode_number` once completed")
    usage: UsageModel
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    urls: JobUrls


class JobPage(_Shape):
    """One page of jobs, the newest first."""

    items: list[JobResource]
    next_cursor: str | None


class EpisodeUrls(_Shape):
    """Where to go on from here."""

    self: str
    job: str
    result: str


class EpisodeResource(_Shape):
    """One saved episode."""

    episode_id: str
    number: int = Field(ge=1, description="1, 2, 3 ... in its project, without a gap")
    title: str
    project_id: str
    recipe: str
    language: str
    generator: str = Field(description="which model wrote it; `extractive-v1` is none")
    job_id: str
    created_at: datetime
    urls: EpisodeUrls


class EpisodePage(_Shape):
    """One page of episodes, in the order of their numbers."""

    items: list[EpisodeResource]
    next_cursor: str | None


class WorkerSystem(_Shape):
    """Where jobs go."""

    enabled: bool
    type: Backend
    source: str | None = Field(None, description="environment, operator or trigger")
    since: datetime | None = None
    reason: str | None = None


class SystemInfo(_Shape):
    """What this service is and where its jobs go."""

    worker_system: WorkerSystem
    version: str
    recipes: list[str]
    formats: dict[str, list[str]] = Field(
        description="by recipe: what `?format=` of a result takes, the usual one first"
    )
    llm_provider: str
    search_provider: str
    limits: dict[str, int]


class HealthModel(_Shape):
    """How the service is."""

    status: Literal["ok", "degraded", "draining", "unavailable"]
    worker_system: WorkerSystem | None
    database: Literal["ok", "unreachable"]
    redis: Literal["ok", "unreachable", "unused"]
    version: str


class TicketModel(_Shape):
    """A ticket for one event stream, to be given as `?ticket=`."""

    ticket: str
    expires_at: datetime
    expires_in_seconds: int
