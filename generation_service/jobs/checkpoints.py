"""Committed steps: a step's outcome, events, usage and effects become durable together, or not at all (I4)."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from generation_service.database import db_now
from generation_service.database.tables import events, jobs, steps, usage
from generation_service.database.upsert import upsert
from generation_service.jobs import transitions
from generation_service.jobs.ids import uuid7
from generation_service.jobs.model import Claim, JobError, JobId, Json, Usage
from generation_service.jobs.ports import StepOutcome
from generation_service.jobs.transitions import Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlace:
    """Where a step stands in its job: its name, its position from 0, and how many there are."""

    name: str
    ordinal: int
    count: int

    def percent(self, fraction: float) -> float:
        """The job's progress, 0 to 100, when this much of the step is done."""
        return round(100 * (self.ordinal + min(max(fraction, 0.0), 1.0)) / self.count, 1)


def start(connection: Connection, claim: Claim, place: StepPlace) -> int:
    """Commit that a step begins, and return its event's number. Raises Fenced.

    A step that was cut before tells readers which tokens no longer count.
    """
    job = transitions.touch(connection, claim.id, claim.fence, drafts=1)
    row = {"attempt": job.attempt, "fence": claim.fence, "status": "running"}
    fresh = {"ordinal": place.ordinal, "first_sequence": job.seq, "input_tokens": 0, "output_tokens": 0}
    ended = dict.fromkeys(("completed_at", "reason", "error", "output"))
    statement = (
        upsert(connection, steps)
        .values(job_id=claim.id, name=place.name, started_at=db_now(), **row, **fresh)
        .on_conflict_do_update(index_elements=["job_id", "name"], set_={**row, **ended, "started_at": db_now()})
        .returning(steps.c.first_sequence)
    )
    first = connection.execute(statement).scalar_one()
    data: dict[str, Json] = {"step": place.name, "status": "running", "attempt": job.attempt}
    if first != job.seq:
        data["discard_after"] = first
    transitions.append(connection, job, [("step", data)])
    return job.seq


def commit(
    connection: Connection,
    claim: Claim,
    place: StepPlace,
    outcome: StepOutcome,
    *,
    spent: Sequence[Usage] = (),
    drafts: Sequence[Draft] = (),
) -> None:
    """Commit a step that ended well, with the events it has not written yet. Raises Fenced."""
    percent = place.percent(1.0)
    step_data = {"step": place.name, "status": outcome.status, "reason": outcome.reason, "progress": percent}
    written: list[Draft] = [*drafts, ("step", {name: value for name, value in step_data.items() if value is not None})]
    job = transitions.touch(
        connection,
        claim.id,
        claim.fence,
        drafts=len(written),
        steps_since_claim=jobs.c.steps_since_claim + 1,
        progress=percent,
        **sums_raised_by(spent),
    )
    _mark_committed(connection, claim, place.name, outcome, sum(spent, Usage()))
    for effect in outcome.effects:
        effect(connection)
    insert_usage(connection, claim, place.name, spent)
    transitions.append(connection, job, written)


def _mark_committed(connection: Connection, claim: Claim, name: str, outcome: StepOutcome, total: Usage) -> None:
    connection.execute(
        update(steps)
        .where(steps.c.job_id == claim.id, steps.c.name == name)
        .values(
            status=outcome.status,
            reason=outcome.reason,
            output=dict(outcome.output),
            completed_at=db_now(),
            input_tokens=total.input_tokens,
            output_tokens=total.output_tokens,
        )
    )


def is_committed(connection: Connection, claim: Claim, name: str) -> bool:
    """Whether this claim has committed the step: for a COMMIT whose answer was lost. Raises Fenced."""
    _settle_what_is_under_way(connection, claim)
    row = connection.execute(
        select(steps.c.status, steps.c.fence).where(steps.c.job_id == claim.id, steps.c.name == name)
    ).one_or_none()
    return row is not None and row.fence == claim.fence and row.status in {"completed", "skipped"}


def write_events(connection: Connection, claim: Claim, drafts: Sequence[Draft], progress: float | None) -> None:
    """Commit events in the middle of a step. Raises Fenced."""
    changes = {} if progress is None else {"progress": progress}
    job = transitions.touch(connection, claim.id, claim.fence, drafts=len(drafts), **changes)
    transitions.append(connection, job, drafts)


def count_written(connection: Connection, claim: Claim, after: int) -> int:
    """How many events a step that began with event `after` has written in its course. Raises Fenced."""
    _settle_what_is_under_way(connection, claim)
    own = events.c.type.in_(["token", "progress"])
    counted = select(func.count()).where(events.c.job_id == claim.id, events.c.sequence > after, own)
    return connection.execute(counted).scalar_one()


def _settle_what_is_under_way(connection: Connection, claim: Claim) -> None:
    """Lock the job, so that the next statement sees what became of a COMMIT that the server may still be busy with."""
    transitions.touch(connection, claim.id, claim.fence, drafts=0)


def mark_failed(connection: Connection, claim: Claim, name: str, error: JobError) -> None:
    """Write how a step failed; part of the transaction that settles the attempt."""
    connection.execute(
        update(steps)
        .where(steps.c.job_id == claim.id, steps.c.name == name)
        .values(status="failed", error=error.as_json(), completed_at=db_now())
    )


def mark_open(connection: Connection, job_id: JobId, status: str) -> None:
    """Close the steps that were under way when their job was taken from its holder."""
    connection.execute(update(steps).where(steps.c.job_id == job_id, steps.c.status == "running").values(status=status))


def supersede_from(connection: Connection, job_id: JobId, ordinal: int) -> None:
    """Make the steps from `ordinal` on run again: the one exception to I4, asked for by a person."""
    connection.execute(
        update(steps)
        .where(steps.c.job_id == job_id, steps.c.ordinal >= ordinal)
        .values(status="pending", output=None, completed_at=None, reason=None, error=None)
    )


def append_usage(connection: Connection, claim: Claim, step: str, spent: Sequence[Usage]) -> None:
    """Append what was spent by a run that has lost its job: money is spent whoever spent it.

    Once: a claim runs a step once, so where it has rows already, its commit (whose answer was lost) has written them.
    """
    connection.execute(select(jobs.c.id).where(jobs.c.id == claim.id).with_for_update(key_share=True))
    mine = (usage.c.job_id == claim.id, usage.c.step == step, usage.c.fence == claim.fence)
    if connection.execute(select(usage.c.id).where(*mine).limit(1)).first() is not None:
        return
    changes = sums_raised_by(spent)
    if changes:
        connection.execute(update(jobs).where(jobs.c.id == claim.id).values(**changes))
    insert_usage(connection, claim, step, spent)


def insert_usage(connection: Connection, claim: Claim, step: str, spent: Sequence[Usage]) -> None:
    """Write the rows of what was spent; the job's sums are raised by whoever calls this."""
    rows = [
        {
            "id": uuid7(),
            "job_id": claim.id,
            "step": step,
            "fence": claim.fence,
            "model": one.model,
            "input_tokens": one.input_tokens,
            "output_tokens": one.output_tokens,
        }
        for one in spent
    ]
    if rows:
        connection.execute(insert(usage).values(created_at=db_now()), rows)


def sums_raised_by(spent: Sequence[Usage]) -> dict[str, object]:
    """The changes to a job's row that `spent` makes; {} where nothing was spent."""
    total = sum(spent, Usage())
    if not total.tokens:
        return {}
    return {
        "input_tokens": jobs.c.input_tokens + total.input_tokens,
        "output_tokens": jobs.c.output_tokens + total.output_tokens,
    }
