"""What is said and counted when a job is tried, goes on, and ends: the one listener of the executor."""

import logging
from contextlib import AbstractContextManager
from typing import Protocol

from generation_service.telemetry.answers import AnswerTimes
from generation_service.telemetry.context import log_context
from generation_service.telemetry.totals import Totals

_log = logging.getLogger("generation_service.jobs")


class RunningJob(Protocol):
    """What telemetry must know of a job (`generation_service.jobs.model.Job` has it)."""

    @property
    def id(self) -> str:
        """The job, wherever it is named."""

    @property
    def kind(self) -> str:
        """What kind of job it is."""

    @property
    def backend(self) -> str:
        """`rq` or `background_tasks`."""

    @property
    def attempt(self) -> int:
        """The try it is in, from 1."""


class JobTelemetry:
    """Turns what happens to jobs into log lines and metrics; cheap, safe from any thread, never raises."""

    def __init__(self, totals: Totals | None = None) -> None:
        self.totals = totals or Totals()
        self.answers = AnswerTimes()  # of this process's API
        self._active = 0

    @property
    def background_tasks_active(self) -> int:
        """Attempts that run in this process right now with the backend `background_tasks`."""
        return self._active

    def context(self, job: RunningJob, step: str | None = None) -> AbstractContextManager[None]:
        """Give every log line within the job's `job_id`, `attempt`, `backend` and `step`."""
        return log_context(job_id=job.id, attempt=job.attempt, backend=job.backend, step=step)

    def attempt_started(self, job: RunningJob) -> None:
        """Called right after a claim."""
        if job.backend == "background_tasks":
            self._active += 1
        what = "background_task" if job.backend == "background_tasks" else job.backend
        with self.context(job):
            _log.info("Processing %s job %s as %s", job.kind, job.id, what, extra={"action": "attempt_started"})

    def attempt_ended(self, job: RunningJob, outcome: str, seconds: float) -> None:
        """Called once for each `attempt_started`, with the same `job`.

        `outcome` is `completed`, `failed`, `cancelled`, `retried`, `released` or `fenced`, `seconds` how long it ran.
        """
        if job.backend == "background_tasks":
            self._active -= 1
        self.totals.count("generation_jobs_attempts_total", {"backend": job.backend, "outcome": outcome})
        self.totals.observe("generation_jobs_attempt_duration_seconds", {"backend": job.backend}, seconds)
        level = logging.WARNING if outcome in {"failed", "retried"} else logging.INFO
        extra = {"action": "attempt_ended", "outcome": outcome, "seconds": round(seconds, 3)}
        with self.context(job):
            _log.log(level, "Job %s: attempt %d %s", job.id, job.attempt, outcome, extra=extra)

    def step_started(self, job: RunningJob, step: str) -> None:
        """Called before a step runs."""
        if _log.isEnabledFor(logging.DEBUG):  # its end is a line of its own, and its event says when it began
            with self.context(job, step):
                _log.debug("Step %s of job %s begins", step, job.id, extra={"action": "step_started"})

    def step_ended(
        self, job: RunningJob, step: str, seconds: float, status: str, error_code: str | None = None
    ) -> None:
        """Called when a step has committed or has failed.

        `status` is `completed`, `skipped`, `failed` or `cancelled`; `error_code` is the failure's code.
        """
        if status in {"completed", "failed"}:
            self.totals.observe("pipeline_step_duration_seconds", {"step": step}, seconds)
        if status == "failed":
            self.totals.count("pipeline_failures_total", {"step": step, "error_type": error_code or "unknown"})
        level = logging.WARNING if status == "failed" else logging.INFO
        extra = {"action": "step_ended", "status": status, "seconds": round(seconds, 3), "error_code": error_code}
        with self.context(job, step):
            _log.log(level, "Step %s of job %s %s", step, job.id, status, extra=extra)
