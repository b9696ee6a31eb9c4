"""Runs the steps of a claimed job that have not committed; an exception becomes a failure exactly once, here."""

import asyncio
import logging
import time
from collections.abc import Mapping
from functools import partial

from generation_service.errors import Fenced, PermanentError, TransientError
from generation_service.jobs import checkpoints
from generation_service.jobs.checkpoints import StepPlace
from generation_service.jobs.heartbeat import Lease
from generation_service.jobs.model import Claim, JobError, Json
from generation_service.jobs.persistence import Persistence
from generation_service.jobs.ports import JobKind, RunListener, Step, StepOutcome, Wakeups
from generation_service.jobs.settlement import Failure
from generation_service.jobs.step_run import RunningStep

_log = logging.getLogger(__name__)

Outputs = Mapping[str, Mapping[str, Json]]


class StepRunner:
    """Runs a job's steps in order, each at most `step_seconds` long, and commits each."""

    def __init__(
        self,
        *,
        persistence: Persistence,
        kinds: Mapping[str, JobKind],
        wakeups: Wakeups,
        listener: RunListener,
        step_seconds: float,
    ) -> None:
        self._persistence = persistence
        self._kinds = kinds
        self._wakeups = wakeups
        self._listener = listener
        self._step_seconds = step_seconds

    async def run_steps(self, claim: Claim, lease: Lease) -> Failure | None:
        """Return None once every step is committed, or how the first one failed. Raises Fenced."""
        steps = self._kinds[claim.job.kind].steps(claim.job)
        wake = partial(self._wakeups.wake, [claim.id])
        outputs: Outputs = {}
        spent = claim.job.input_tokens + claim.job.output_tokens
        for ordinal, step in enumerate(steps):
            record = claim.steps.get(step.name)
            if record is not None and record.committed:
                outputs = {**outputs, step.name: record.output or {}}
                continue
            lease.begin_step()
            running = RunningStep(
                claim=claim,
                place=StepPlace(name=step.name, ordinal=ordinal, count=len(steps)),
                lease=lease,
                persistence=self._persistence,
                outputs=outputs,
                spent_before=spent,
                wake=wake,
            )
            outcome = await self._run_step(step, running)
            if isinstance(outcome, Failure):
                return outcome
            wake()
            outputs = {**outputs, step.name: outcome.output}
            spent += sum(one.tokens for one in running.spent)
        return None

    async def _run_step(self, step: Step, running: RunningStep) -> StepOutcome | Failure:
        """Start, run and commit one step."""
        began = time.monotonic()
        running.check_lease()
        running.started = await self._persistence.persist(
            lambda connection: checkpoints.start(connection, running.claim, running.place)
        )
        self._listener.step_started(running.job, step.name)
        status, code = "cancelled", None
        try:
            with self._listener.context(running.job, step.name):
                outcome = await self._outcome(step, running)
            if isinstance(outcome, Failure):
                status, code = "failed", outcome.error.code
                return outcome
            await self._commit(running, outcome)
            status = outcome.status
            return outcome  # noqa: TRY300 - the commit belongs to what is tried
        except (Fenced, asyncio.CancelledError):
            await self._append_usage(running)
            raise
        finally:
            running.abandon()
            self._listener.step_ended(running.job, step.name, time.monotonic() - began, status, code)

    async def _outcome(self, step: Step, running: RunningStep) -> StepOutcome | Failure:
        try:
            if running.tokens_left == 0:
                raise PermanentError("budget_exceeded", "the job's token budget is used up")  # noqa: TRY301 - a failure like any other
            async with asyncio.timeout(self._step_seconds):
                return await step.run(running)
        except Fenced:
            raise
        except PermanentError as error:
            return _failure(running, error.code, error.message, transient=False, retryable=error.retryable)
        except TransientError as error:
            return _failure(running, error.code, error.message, retry_after=error.retry_after)
        except TimeoutError:
            return _failure(running, "step_timeout", f"the step took longer than {self._step_seconds:g} seconds")
        except Exception as error:  # noqa: BLE001 - the one boundary where a bug in a step becomes a failure
            _log.exception("Step %s of job %s raised", step.name, running.job.id, extra={"action": "step_raised"})
            return _failure(running, "internal_error", f"an unexpected {type(error).__name__}; the log has the details")

    async def _commit(self, running: RunningStep, outcome: StepOutcome) -> None:
        drafts = await running.finish()
        claim, place, spent = running.claim, running.place, running.spent
        await self._persistence.persist_once(
            lambda connection: checkpoints.commit(connection, claim, place, outcome, spent=spent, drafts=drafts),
            lambda connection: checkpoints.is_committed(connection, claim, place.name),
        )

    async def _append_usage(self, running: RunningStep) -> None:
        if running.spent:
            claim, name, spent = running.claim, running.place.name, tuple(running.spent)
            await self._persistence.persist(lambda connection: checkpoints.append_usage(connection, claim, name, spent))


def _failure(
    running: RunningStep,
    code: str,
    message: str,
    *,
    transient: bool = True,
    retryable: bool = True,
    retry_after: float | None = None,
) -> Failure:
    error = JobError(code=code, message=message, retryable=retryable)
    return Failure(
        error=error, step=running.step, transient=transient, retry_after=retry_after, spent=tuple(running.spent)
    )
