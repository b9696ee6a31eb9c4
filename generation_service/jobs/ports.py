"""The ports of the core: what it asks of pipelines, of those who deliver, and of those who wake readers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from sqlalchemy import Connection

from generation_service.jobs.model import Backend, Job, JobError, JobId, Json, Priority, Usage

Effect = Callable[[Connection], object]
"""A write that belongs to a step: run inside the transaction that commits it, after its fence check.

It must be idempotent only towards other jobs: the fence sees to it that it is committed once. What it
returns is not looked at.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """What a step that ended well leaves: its output (JSON), or why it was skipped.

    `reason` is a code, or a code, a colon and the code of the failure behind it; `job.skip.<code>` is its sentence.
    """

    output: Mapping[str, Json]
    status: Literal["completed", "skipped"] = "completed"
    reason: str | None = None
    effects: Sequence[Effect] = ()


class StepRun(Protocol):
    """One run of one step, as the step sees it.

    Any of its calls raises Fenced once the job was taken away; a step lets that pass through.
    """

    @property
    def job(self) -> Job: ...

    @property
    def step(self) -> str: ...

    @property
    def attempt(self) -> int: ...

    @property
    def outputs(self) -> Mapping[str, Mapping[str, Json]]:
        """The outputs of the steps committed so far, by name ({} for a skipped one)."""

    @property
    def tokens_left(self) -> int | None:
        """What is left of the job's token budget; None: no budget."""

    def check_lease(self) -> None:
        """Raise Fenced where this process may no longer act for the job: call it before anything costly."""

    def spend(self, usage: Usage) -> None:
        """Record what a model call cost, at once, whatever becomes of the step."""

    async def token(self, text: str) -> None:
        """Add to the text as it is written; pieces are gathered for at most 100 ms, then committed."""

    async def progress(self, fraction: float) -> None:
        """Say how much of this step is done, 0 to 1."""

    async def write(self, unit: Effect) -> None:
        """Commit something before the step ends, in a transaction of its own that is guarded by the fence."""


class Step(Protocol):
    """One named stage. It raises TransientError or PermanentError; anything else counts as transient."""

    name: str

    async def run(self, run: StepRun) -> StepOutcome: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a job ends, as its kind's hook sees it; `job` is its row, which has ended.

    `outputs` are those of the steps of a job that completed, by name ({} for a skipped one).
    """

    job: Job
    status: Literal["completed", "failed", "cancelled"]
    error: JobError | None = None
    outputs: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)


class JobKind(Protocol):
    """What the core must know about one kind of job."""

    kind: str
    shares_commits: bool
    """Whether several of its jobs may end in one transaction: its hook is short, and locks no rows but projects."""

    def steps(self, job: Job) -> Sequence[Step]:
        """The steps in order; the same for every run of the same job."""

    def on_started(self, connection: Connection, jobs: Sequence[Job]) -> None:
        """Called in the transaction that claims these jobs."""

    def on_ended(self, connection: Connection, endings: Sequence[Ending]) -> Sequence[Mapping[str, Json] | None]:
        """Called once for each job, in the transaction that ends it and maybe others; returns the `result` of each.

        May lock project rows (after the jobs' own, in order), may not call anything outside the database.
        """

    def on_reopened(self, connection: Connection, job: Job) -> None:
        """Called in the transaction that reopens a failed job."""


HasArrived: TypeAlias = Callable[[JobId, int], bool]
"""Whether the delivery of a job that has this number was in any list or registry, when that was looked at."""


class Deliverable(Protocol):
    """What is told of a job that waits: a whole `Job`, or what whoever moves thousands of them has read of each."""

    @property
    def id(self) -> JobId: ...

    @property
    def project_id(self) -> str | None: ...

    @property
    def priority(self) -> Priority: ...

    @property
    def backend(self) -> Backend: ...

    @property
    def delivery(self) -> int: ...


class Delivery(Protocol):
    """Tells a backend that jobs wait. A hint: it may be lost, late or doubled, and never raises."""

    def deliver(self, jobs: Iterable[Deliverable]) -> None:
        """Hand over and return at once, from any thread or event loop."""


class DeliveryBackend(Delivery, Protocol):
    """One backend: it is delivered to, and can say what has not arrived."""

    backend: Backend

    def look(self) -> HasArrived:
        """See all that waits or runs here, at one instant; blocking. Raises ConnectionError: it cannot tell."""


class Wakeups(Protocol):
    """Wakes readers of event logs, in any process. A hint: readers poll once a second besides."""

    def wake(self, job_ids: Iterable[JobId]) -> None:
        """Tell that these jobs have events that are committed; returns at once, never raises."""


class RunListener(Protocol):
    """Hears of what happens to runs; cheap, and never raises. `Job` is the value the claim returned."""

    def context(self, job: Job, step: str | None = None) -> AbstractContextManager[None]:
        """Everything logged within belongs to this job and step."""

    def attempt_started(self, job: Job) -> None: ...

    def attempt_ended(self, job: Job, outcome: str, seconds: float) -> None: ...

    def step_started(self, job: Job, step: str) -> None: ...

    def step_ended(self, job: Job, step: str, seconds: float, status: str, error_code: str | None = None) -> None: ...
