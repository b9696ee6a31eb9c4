"""Runs the steps of a claimed job that have not committed; an exception becomes a failure exactly once, here."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from generation_service.errors import Fenced, PermanentError, TransientError
from generation_service.jobs import checkpoints, spending
from generation_service.jobs.checkpoints import EndedStep, StepPlace, Write
from generation_service.jobs.commits import Commits
from generation_service.jobs.heartbeat import Lease
from generation_service.jobs.model import Claim, JobError, Json
from generation_service.jobs.persistence import Persistence
from generation_service.jobs.ports import JobKind, RunListener, Step, StepOutcome, Wakeups
from generation_service.jobs.settlement import Completed, Failure
from generation_service.jobs.step_run import RunningStep

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Committed:
    """A step that is committed: its output, and the number of the event that starts the next, where it rode along."""

    output: Mapping[str, Json]
    next_started: int | None


class StepRunner:
    """Runs a job's steps in order, each at most `step_seconds` long, and commits each."""

    def __init__(
        self,
        *,
        commits: Commits,
        persistence: Persistence,
        kinds: Mapping[str, JobKind],
        wakeups: Wakeups,
        listener: RunListener,
        step_seconds: float,
    ) -> None:
        self._commits = commits
        self._persistence = persistence
        self._kinds = kinds
        self._wakeups = wakeups
        self._listener = listener
        self._step_seconds = step_seconds

    async def run_steps(self, claim: Claim, lease: Lease) -> Completed | Failure:
        """Return what completed once every step is committed, or how the first one failed. Raises Fenced."""
        steps = self._kinds[claim.job.kind].steps(claim.job)
        outputs = {name: record.output or {} for name, record in claim.steps.items() if record.committed}
        places = [StepPlace(name=step.name, ordinal=ordinal, count=len(steps)) for ordinal, step in enumerate(steps)]
        left = [(step, place) for step, place in zip(steps, places, strict=True) if step.name not in outputs]
        spent = claim.job.input_tokens + claim.job.output_tokens
        started: int | None = None
        upcoming = [*(place for _, place in left), None][1:]
        for (step, place), after in zip(left, upcoming, strict=True):
            lease.begin_step()
            running = RunningStep(
                claim=claim,
                place=place,
                lease=lease,
                commits=self._commits,
                persistence=self._persistence,
                outputs=outputs,
                spent_before=spent,
                wake=partial(self._wakeups.wake, [claim.id]),
            )
            ended = await self._run_step(step, running, started, after)
            if isinstance(ended, Failure):
                return ended
            started = ended.next_started
            outputs = {**outputs, step.name: ended.output}
            spent += sum(one.tokens for one in running.spent)
        return Completed(claim=claim, outputs=outputs)

    async def _run_step(
        self, step: Step, running: RunningStep, started: int | None, after: StepPlace | None
    ) -> _Committed | Failure:
        """Start one step where it has not `started`, run it, and commit it with the start of the step `after` it."""
        began = time.monotonic()
        running.check_lease()
        running.started = await self._start(running) if started is None else started
        self._listener.step_started(running.job, step.name)
        status, code = "cancelled", None
        try:
            with self._listener.context(running.job, step.name):
                outcome = await self._outcome(step, running)
            if isinstance(outcome, Failure):
                status, code = "failed", outcome.error.code
                return outcome
            committed = await self._commit(running, outcome, after)
            status = outcome.status
            return committed  # noqa: TRY300 - the commit belongs to what is tried
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

    async def _start(self, running: RunningStep) -> int:
        """Commit that a step begins. One that was cut before tells readers which tokens no longer count."""
        # Where the answer was lost, a second start does no harm.
        number = await self._commits.write(Write(claim=running.claim, starts=running.place), lambda _: None)
        running.wake()
        return number

    async def _commit(self, running: RunningStep, outcome: StepOutcome, after: StepPlace | None) -> _Committed:
        drafts = await running.finish()
        claim, place = running.claim, running.place
        starts = None if running.hands_over else after
        ends = EndedStep(place=place, outcome=outcome, spent=tuple(running.spent))
        last = await self._commits.write(
            Write(claim=claim, drafts=drafts, ends=ends, starts=starts),
            lambda connection: checkpoints.committed_at(connection, claim, place.name),
        )
        running.wake()
        return _Committed(outcome.output, last if starts else None)

    async def _append_usage(self, running: RunningStep) -> None:
        if running.spent:
            claim, name, spent = running.claim, running.place.name, tuple(running.spent)
            await self._persistence.persist(lambda connection: spending.append(connection, claim, name, spent))


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
