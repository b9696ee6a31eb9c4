"""The one run path, in both modes: claim, run the steps that have not committed, settle, report."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias
from uuid import uuid4

from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.errors import DatabaseUnavailable, Fenced
from generation_service.jobs import claims, settlement, spending
from generation_service.jobs.claims import Claimant, Wanted
from generation_service.jobs.commits import Commits
from generation_service.jobs.heartbeat import Heartbeat, Lease
from generation_service.jobs.model import Backend, Claim, JobError, JobId
from generation_service.jobs.persistence import Persistence
from generation_service.jobs.ports import JobKind, RunListener, Wakeups
from generation_service.jobs.retries import RetryPolicy
from generation_service.jobs.settlement import Completed, Failure
from generation_service.jobs.stepping import StepRunner

_log = logging.getLogger(__name__)

Take: TypeAlias = Callable[[Claimant], Awaitable[list[Claim]]]
"""Claims jobs for a claimant."""

_CANCEL_SECONDS = 5.0
"""How long a step that was cancelled may take to clean up before it is left behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a lease, a run from its claim to its settlement, and one step may last, in seconds."""

    lease_seconds: float
    run_seconds: float
    step_seconds: float


@dataclass(frozen=True, slots=True)
class _Told:
    """The run was told to stop: its job is to be given back, or is lost."""

    release: bool


class Executor:
    """Runs jobs, as many at once as its callers start. `process` names this process as a holder."""

    def __init__(
        self,
        *,
        process: str,
        database: Database,
        kinds: Mapping[str, JobKind],
        heartbeat: Heartbeat,
        limits: Limits,
        policy: RetryPolicy,
        wakeups: Wakeups,
        listener: RunListener,
    ) -> None:
        self._process = process
        self._database = database
        self._kinds = kinds
        self._heartbeat = heartbeat
        self._limits = limits
        self._policy = policy
        self._wakeups = wakeups
        self._listener = listener
        self._persistence = Persistence(database)
        self._commits = Commits(database, kinds)
        self._steps = StepRunner(
            commits=self._commits,
            persistence=self._persistence,
            kinds=kinds,
            wakeups=wakeups,
            listener=listener,
            step_seconds=limits.step_seconds,
        )

    async def execute(self, job_id: JobId, backend: Backend) -> None:
        """Run a delivered job, unless it is not to be run now, or not here. Raises nothing of its own."""
        began = time.monotonic()
        for claim in await self._claim(partial(self._claim_delivered, job_id, backend), job_id):
            await self.run(claim, began)

    async def claim_waiting(self, backend: Backend, limit: int, *, project_id: str | None = None) -> list[Claim]:
        """Claim up to `limit` waiting jobs (of one project), each to be handed to `run`."""

        def take(connection: Connection, by: Claimant) -> list[Claim]:
            return claims.claim_waiting(connection, backend, by, self._kinds, limit, project_id=project_id)

        return await self._claim(lambda by: self._database.write(lambda connection: take(connection, by)))

    async def run(self, claim: Claim, began: float) -> None:
        """Run a claimed job to the end of this attempt; `began` is monotonic, before the claim."""
        self._wakeups.wake([claim.id])
        self._listener.attempt_started(claim.job)
        with self._listener.context(claim.job), self._heartbeat.hold(claim, claimed_at=began) as lease:
            outcome = "fenced"
            try:
                outcome = await self._attempt(claim, lease)
            except Fenced:
                _log.info("Job %s was taken away", claim.id, extra={"action": "fenced"})
            except asyncio.CancelledError:
                outcome = await self._release(claim, "stopped")
                raise
            except Exception:  # noqa: BLE001 - the boundary: the worker goes on, the lease runs out, recovery decides
                _log.exception("Job %s could not be settled", claim.id, extra={"action": "settlement_failed"})
            finally:
                self._wakeups.wake([claim.id])
                self._listener.attempt_ended(claim.job, outcome, time.monotonic() - began)

    async def _attempt(self, claim: Claim, lease: Lease) -> str:
        result = await self._run_until_told(claim, lease)
        if isinstance(result, Completed):
            await self._commits.complete(result)
            return "completed"
        if isinstance(result, Failure):
            return await self._fail(claim, result)
        if result.release:
            return await self._release(claim, "stopping")
        raise Fenced(claim.id, claim.fence)

    async def _fail(self, claim: Claim, failure: Failure) -> str:
        try:
            job = await self._persistence.persist(
                lambda connection: settlement.fail_attempt(connection, claim, failure, self._kinds, self._policy)
            )
        except Fenced:
            if failure.spent:
                await self._persistence.persist(
                    lambda connection: spending.append(connection, claim, failure.step or "", failure.spent)
                )
            raise
        return "retried" if job.status == "pending" else "failed"

    async def _release(self, claim: Claim, reason: str) -> str:
        try:
            await self._persistence.persist(lambda connection: settlement.release(connection, claim, reason))
        except Fenced:
            return "fenced"
        return "released"

    async def _run_until_told(self, claim: Claim, lease: Lease) -> Completed | Failure | _Told:
        """Run the steps; stop at once where the lease ends, and after a run's longest time."""
        steps = asyncio.create_task(self._steps.run_steps(claim, lease), name=f"steps-{claim.id}")
        told = asyncio.create_task(lease.ended.wait(), name=f"told-{claim.id}")
        try:
            await asyncio.wait({steps, told}, timeout=self._limits.run_seconds, return_when=asyncio.FIRST_COMPLETED)
            released = lease.why == "released"
            if steps.done() and not (released and isinstance(steps.exception(), Fenced)):
                return steps.result()
            if told.done() or released:
                return _Told(release=released)
            return Failure(error=_run_timeout(self._limits.run_seconds), transient=False)
        finally:
            await _cancel(steps)
            await _cancel(told)

    async def _claim_delivered(self, job_id: JobId, backend: Backend, by: Claimant) -> list[Claim]:
        claim = await self._commits.claim(Wanted(job_id=job_id, backend=backend, by=by))
        return [claim] if claim else []

    async def _claim(self, take: Take, job_id: JobId | None = None) -> list[Claim]:
        """Claim; a cancellation gives back what the thread, which nobody can stop, has claimed all the same."""
        claiming = asyncio.create_task(self._claim_surely(take, job_id))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            for claim in await claiming:
                await self._release(claim, "stopped")
            raise

    async def _claim_surely(self, take: Take, job_id: JobId | None) -> list[Claim]:
        by = Claimant(holder=f"{self._process}/{uuid4().hex[:12]}", lease_seconds=self._limits.lease_seconds)
        try:
            return await take(by)
        except DatabaseUnavailable:
            # Was it committed? A job that is claimed and not run would have to wait for its lease to run out.
            return await self._persistence.persist(lambda connection: claims.find_claims(connection, by.holder, job_id))


async def _cancel(task: asyncio.Task[Any]) -> None:
    if task.done():
        return
    task.cancel()
    await asyncio.wait({task}, timeout=_CANCEL_SECONDS)
    if task.done() and not task.cancelled():
        task.exception()  # seen: what a cancelled step raises besides no longer matters


def _run_timeout(seconds: float) -> JobError:
    return JobError(code="job_timeout", message=f"the job ran longer than {seconds:g} seconds", retryable=False)
