"""Settlement: every way a job leaves its holder or ends, each one transaction with its events and hooks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import BigInteger, ColumnElement, Connection, String, Update, update
from sqlalchemy.sql.dml import ReturningUpdate

from generation_service.database import db_now
from generation_service.database.rowsets import ROWS, built_once, rowset
from generation_service.database.tables import jobs
from generation_service.database.types import Json as JsonColumn
from generation_service.errors import Fenced
from generation_service.jobs import checkpoints, counters, dead_letters, rerouting, spending, transitions
from generation_service.jobs.model import MOVES, Claim, Job, JobError, JobId, Json, Usage
from generation_service.jobs.ports import Ending, JobKind
from generation_service.jobs.retries import RetryPolicy
from generation_service.jobs.transitions import Draft

Kinds = Mapping[str, JobKind]

_TAKEN: Mapping[str, Any] = {"fence": jobs.c.fence + 1, "holder": None, "lease_until": None}
"""What changes whenever a job is taken from its holder: no write of the old run is accepted any more (I3)."""

ABANDONED = JobError(
    code="abandoned",
    message="the job's process was lost again and again before a step was completed",
    retryable=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How an attempt failed: in which step, whether trying again can help, and what it had spent."""

    error: JobError
    step: str | None = None
    transient: bool = True
    retry_after: float | None = None
    spent: Sequence[Usage] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A run that has committed all its steps, and their outputs by name."""

    claim: Claim
    outputs: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)


def complete(connection: Connection, completed: Completed, kinds: Kinds) -> Job:
    """End a job whose steps are all committed. Raises Fenced."""
    answer = complete_all(connection, [completed], kinds)[0]
    if isinstance(answer, Fenced):
        raise answer
    return answer


def complete_all(connection: Connection, completed: Sequence[Completed], kinds: Kinds) -> list[Job | Fenced]:
    """End several jobs whose steps are all committed; for each its row, or that it is fenced."""
    rows = [{"id": one.claim.id, "fence": one.claim.fence} for one in completed]
    ended = {row.id: transitions.job_of(row) for row in connection.execute(_complete(connection), {ROWS: rows})}
    endings = [
        Ending(job=ended[one.claim.id], status="completed", outputs=one.outputs)
        for one in completed
        if one.claim.id in ended
    ]
    results = _tell_kinds(connection, endings, kinds)
    _keep_results(connection, results)
    told = [(one.job.id, one.job.seq, [_ending_event(one, results.get(one.job.id))]) for one in endings]
    transitions.append_all(connection, told)
    counters.count(connection, "ended", len(endings))
    return [ended.get(one.claim.id) or Fenced(one.claim.id, one.claim.fence) for one in completed]


@built_once
def _complete(dialect: str) -> ReturningUpdate[Any]:
    wanted = rowset(dialect, {"id": String(36), "fence": BigInteger()}).c
    leaves, enters = MOVES["complete"]
    mine = (jobs.c.id == wanted.id, jobs.c.fence == wanted.fence, jobs.c.status.in_(sorted(leaves)))
    ended = {"status": enters, "seq": jobs.c.seq + 1, "completed_at": db_now(), "progress": 100.0}
    left = dict.fromkeys(("holder", "lease_until", "due_at", "error"))
    return update(jobs).where(*mine).values(**ended, **left).returning(*jobs.c)


def _tell_kinds(connection: Connection, endings: Sequence[Ending], kinds: Kinds) -> dict[JobId, Mapping[str, Json]]:
    """Tell each kind of its jobs that have ended; the results there are."""
    results: dict[JobId, Mapping[str, Json]] = {}
    for kind in sorted({one.job.kind for one in endings}):
        mine = [one for one in endings if one.job.kind == kind]
        found = zip(mine, kinds[kind].on_ended(connection, mine), strict=True)
        results |= {one.job.id: result for one, result in found if result is not None}
    return results


def _keep_results(connection: Connection, results: Mapping[JobId, Mapping[str, Json]]) -> None:
    if results:
        rows = [{"id": job_id, "result": dict(result)} for job_id, result in results.items()]
        connection.execute(_set_results(connection), {ROWS: rows})


@built_once
def _set_results(dialect: str) -> Update:
    wanted = rowset(dialect, {"id": String(36), "result": JsonColumn}).c
    return update(jobs).where(jobs.c.id == wanted.id).values(result=wanted.result)


def fail_attempt(connection: Connection, claim: Claim, failure: Failure, kinds: Kinds, policy: RetryPolicy) -> Job:
    """Use up an attempt: the job waits for its next one, or fails for good. Raises Fenced."""
    changes = spending.sums_raised_by(failure.spent)
    job = transitions.touch(connection, claim.id, claim.fence, drafts=1 if failure.step else 0, **changes)
    spending.write(connection, [(claim, failure.step or "", failure.spent)])
    if failure.step:
        checkpoints.mark_failed(connection, claim, failure.step, failure.error)
        data = {"step": failure.step, "status": "failed", "attempt": job.attempt, "error": failure.error.as_json()}
        transitions.append(connection, job, [("step", data)])
    return _use_attempt(connection, job, failure, kinds, policy)


def release(connection: Connection, claim: Claim, reason: str) -> Job:
    """Give a job back at its last committed step; uses up no attempt. Raises Fenced."""
    job = transitions.move(connection, claim.id, "release", jobs.c.fence == claim.fence, **_TAKEN, delivered_at=None)
    if job is None:
        raise Fenced(claim.id, claim.fence)
    checkpoints.mark_open(connection, claim.id, "pending")
    transitions.append(connection, job, [("status", {"status": "pending", "backend": job.backend, "reason": reason})])
    return rerouting.route_anew(connection, job)


def rescue(connection: Connection, seen: Job, kinds: Kinds, policy: RetryPolicy) -> Job | None:
    """Take a job from a holder whose lease ran out; None where the holder is back or someone was faster.

    Uses up an attempt only where no step was committed since that claim, so that a poison job ends
    in the dead letters and a long job survives many crashes (I5).
    """
    as_seen = (
        jobs.c.fence == seen.fence,
        jobs.c.steps_since_claim == seen.steps_since_claim,
        jobs.c.lease_until < db_now(),
    )
    poisoned = seen.steps_since_claim == 0
    failures = jobs.c.failures + int(poisoned)
    if poisoned and seen.failures + 1 >= seen.max_attempts:
        return _end(connection, seen.id, "fail", ABANDONED, kinds, *as_seen, failures=failures)
    delay = policy.delay_seconds(seen.failures + 1) if poisoned else 0.0
    changes = {**_TAKEN, "failures": failures, "due_at": db_now(delay), "delivered_at": None}
    job = transitions.move(connection, seen.id, "rescue", *as_seen, **changes)
    if job is None:
        return None
    checkpoints.mark_open(connection, job.id, "pending")
    waiting: Draft = ("status", {"status": "pending", "backend": job.backend, "reason": "rescued"})
    transitions.append(connection, job, [_retry_event(job, ABANDONED, delay) if poisoned else waiting])
    return rerouting.route_anew(connection, job)


def cancel(connection: Connection, job_id: JobId, kinds: Kinds, *, counted: bool = True) -> Job | None:
    """End a job that waits or runs; None where it had ended. The run learns of it from its fence.

    Whoever ends several in one transaction has them not `counted`, and counts them all at its end.
    """
    return _end(connection, job_id, "cancel", None, kinds, counted=counted)


def reopen(
    connection: Connection, job_id: JobId, kinds: Kinds, *, from_ordinal: int | None, backend: str, counted: bool = True
) -> Job | None:
    """Let a failed job run again with fresh attempts; None where it had not failed. `counted` as in `cancel`."""
    job = transitions.move(
        connection,
        job_id,
        "reopen",
        **_TAKEN,
        failures=0,
        backend=backend,
        error=None,
        result=None,
        completed_at=None,
        due_at=None,
        delivery=jobs.c.delivery + 1,
        delivered_at=db_now(),
    )
    if job is None:
        return None
    checkpoints.mark_open(connection, job_id, "pending")
    if from_ordinal is not None:
        checkpoints.supersede_from(connection, job_id, from_ordinal)
    dead_letters.resolve(connection, job_id)
    kinds[job.kind].on_reopened(connection, job)
    transitions.append(
        connection, job, [("retry", {"attempt": job.attempt, "delay_seconds": 0.0, "reason": "by hand"})]
    )
    if counted:
        counters.count(connection, "reopened")
    return job


def _use_attempt(connection: Connection, job: Job, failure: Failure, kinds: Kinds, policy: RetryPolicy) -> Job:
    held = jobs.c.fence == job.fence
    used: dict[str, Any] = {"failures": jobs.c.failures + 1}
    if not failure.transient or job.failures + 1 >= job.max_attempts:
        ended = _end(connection, job.id, "fail", failure.error, kinds, held, **used)
        if ended is None:
            raise Fenced(job.id, job.fence)
        return ended
    delay = policy.delay_seconds(job.failures + 1, failure.retry_after)
    waiting = transitions.move(
        connection, job.id, "retry", held, **_TAKEN, **used, due_at=db_now(delay), delivered_at=None
    )
    if waiting is None:
        raise Fenced(job.id, job.fence)
    transitions.append(connection, waiting, [_retry_event(waiting, failure.error, delay)])
    return rerouting.route_anew(connection, waiting)


def _end(
    connection: Connection,
    job_id: JobId,
    name: Literal["fail", "cancel"],
    error: JobError | None,
    kinds: Kinds,
    *conditions: ColumnElement[bool],
    counted: bool = True,
    **changes: Any,
) -> Job | None:
    """The one transaction that ends a job early (I2): its state, its kind's hook, its last event, the counter."""
    why = error.as_json() if error else None
    job = transitions.move(
        connection, job_id, name, *conditions, **_TAKEN, completed_at=db_now(), due_at=None, error=why, **changes
    )
    if job is None:
        return None
    ending = Ending(job=job, status="cancelled" if name == "cancel" else "failed", error=error)
    checkpoints.mark_open(connection, job_id, ending.status)
    results = _tell_kinds(connection, [ending], kinds)
    _keep_results(connection, results)
    if error is not None:
        dead_letters.keep_job(connection, job, error)
    transitions.append(connection, job, [_ending_event(ending, results.get(job_id))])
    if counted:
        counters.count(connection, "ended")
    return job


def _ending_event(ending: Ending, result: Mapping[str, Json] | None) -> Draft:
    job = ending.job
    usage = {"input_tokens": job.input_tokens, "output_tokens": job.output_tokens, "saved_tokens": job.saved_tokens}
    data: dict[str, Json] = {"status": ending.status, "attempt": job.attempt, "usage": usage}
    if ending.status == "completed":
        data["result"] = dict(result) if result is not None else None
    if ending.error is not None:
        data["error"] = ending.error.as_json()
    return ending.status, data


def _retry_event(job: Job, error: JobError, delay: float) -> Draft:
    data = {"attempt": job.attempt, "max_attempts": job.max_attempts, "delay_seconds": round(delay, 3)}
    return "retry", {**data, "error": error.as_json()}
