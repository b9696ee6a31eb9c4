"""Committed steps: a step's outcome, events, usage and effects become durable together, or not at all (I4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Float,
    Integer,
    SmallInteger,
    String,
    Text,
    Update,
    func,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from generation_service.database import db_now
from generation_service.database.rowsets import ROWS, Columns, built_once, rowset
from generation_service.database.tables import events, jobs, steps
from generation_service.database.types import Json as JsonColumn
from generation_service.database.upsert import upsert_for
from generation_service.errors import Fenced
from generation_service.jobs import spending, transitions
from generation_service.jobs.model import Claim, Job, JobError, JobId, Json, Usage
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


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedStep:
    """A step that ended well: what it leaves, and what it has spent."""

    place: StepPlace
    outcome: StepOutcome
    spent: Sequence[Usage] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """What a run commits at one time, its events in this order: `drafts`, the step that ended, the step that starts.

    A step and the start of the next ride together: the next one runs once that is durable.
    """

    claim: Claim
    drafts: Sequence[Draft] = ()
    progress: float | None = None  # of the job, 0 to 100
    ends: EndedStep | None = None
    starts: StepPlace | None = None

    @property
    def events(self) -> int:
        """How many events it writes."""
        return len(self.drafts) + (self.ends is not None) + (self.starts is not None)

    @property
    def has_effects(self) -> bool:
        """Whether it writes to more than the job's own rows."""
        return self.ends is not None and bool(self.ends.outcome.effects)


def write(connection: Connection, one: Write) -> int:
    """Commit one run's write; return the number of its last event. Raises Fenced."""
    answer = write_all(connection, [one])[0]
    if isinstance(answer, Fenced):
        raise answer
    return answer


def write_all(connection: Connection, writes: Sequence[Write]) -> list[int | Fenced]:
    """Write for several runs, of different jobs; the number of each one's last event, or that it is fenced (I3)."""
    numbers = _raise_numbers(connection, writes)
    held = [one for one in writes if one.claim.id in numbers]
    discards = _start_steps(connection, held, numbers)
    ended = [(one.claim, one.ends) for one in held if one.ends]
    _end_steps(connection, ended)
    for _, step in ended:
        for effect in step.outcome.effects:
            effect(connection)
    spending.write(connection, [(claim, step.place.name, step.spent) for claim, step in ended])
    entries = [(one.claim.id, numbers[one.claim.id], _drafts(one, discards.get(one.claim.id))) for one in held]
    transitions.append_all(connection, entries)
    return [numbers.get(one.claim.id) or Fenced(one.claim.id, one.claim.fence) for one in writes]


def _raise_numbers(connection: Connection, writes: Sequence[Write]) -> dict[JobId, int]:
    """Lock the jobs that are still held, and reserve numbers for the events of each: the last one's."""
    rows = []
    for one in writes:
        total = sum(one.ends.spent, Usage()) if one.ends else Usage()
        rows.append(
            {
                "id": one.claim.id,
                "fence": one.claim.fence,
                "events": one.events,
                "steps": int(one.ends is not None),
                "progress": one.ends.place.percent(1.0) if one.ends else one.progress,
                "input_tokens": total.input_tokens,
                "output_tokens": total.output_tokens,
            }
        )
    raised = connection.execute(_update_jobs(connection), {ROWS: rows})
    return {JobId(row.id): row.seq for row in raised}


@built_once
def _update_jobs(dialect: str) -> ReturningUpdate[Any]:
    counts = {name: BigInteger() for name in ("fence", "events", "steps", "input_tokens", "output_tokens")}
    wanted = rowset(dialect, {"id": String(36), **counts, "progress": Float()}).c
    return (
        update(jobs)
        .where(jobs.c.id == wanted.id, jobs.c.status == "running", jobs.c.fence == wanted.fence)
        .values(
            seq=jobs.c.seq + wanted.events,
            steps_since_claim=jobs.c.steps_since_claim + wanted.steps,
            progress=func.coalesce(wanted.progress, jobs.c.progress),
            input_tokens=jobs.c.input_tokens + wanted.input_tokens,
            output_tokens=jobs.c.output_tokens + wanted.output_tokens,
        )
        .returning(jobs.c.id, jobs.c.seq)
    )


def _start_steps(connection: Connection, held: Sequence[Write], numbers: Mapping[JobId, int]) -> dict[JobId, int]:
    """Write that steps begin; for those that were cut before, the number after which tokens no longer count."""
    rows = [
        {
            "job_id": one.claim.id,
            "name": one.starts.name,
            "ordinal": one.starts.ordinal,
            "attempt": one.claim.job.attempt,
            "fence": one.claim.fence,
            "first_sequence": numbers[one.claim.id],
        }
        for one in held
        if one.starts
    ]
    if not rows:
        return {}
    started = connection.execute(_upsert_steps(connection), {ROWS: rows})
    return {
        JobId(row.job_id): row.first_sequence for row in started if row.first_sequence != numbers[JobId(row.job_id)]
    }


@built_once
def _upsert_steps(dialect: str) -> ReturningInsert[Any]:
    given: Columns = {"job_id": String(36), "name": String(64), "ordinal": SmallInteger(), "attempt": Integer()}
    given = {**given, "fence": BigInteger(), "first_sequence": BigInteger()}
    wanted = rowset(dialect, given)
    nothing: Any = literal(0)
    fixed = {"status": literal("running"), "started_at": db_now(), "input_tokens": nothing, "output_tokens": nothing}
    fresh = upsert_for(dialect, steps).from_select(
        # The condition keeps SQLite from reading ON CONFLICT as a join's ON.
        [*given, *fixed],
        select(*wanted.c, *fixed.values()).where(true()),
    )
    again = {name: fresh.excluded[name] for name in ("attempt", "fence", "ordinal", *fixed)}
    ended = dict.fromkeys(("completed_at", "reason", "error", "output"))
    return fresh.on_conflict_do_update(index_elements=["job_id", "name"], set_={**again, **ended}).returning(
        steps.c.job_id, steps.c.first_sequence
    )


def _end_steps(connection: Connection, ended: Sequence[tuple[Claim, EndedStep]]) -> None:
    rows = []
    for claim, step in ended:
        total = sum(step.spent, Usage())
        rows.append(
            {
                "job_id": claim.id,
                "name": step.place.name,
                "status": step.outcome.status,
                "reason": step.outcome.reason,
                "output": dict(step.outcome.output),
                "input_tokens": total.input_tokens,
                "output_tokens": total.output_tokens,
            }
        )
    if rows:
        connection.execute(_update_steps(connection), {ROWS: rows})


@built_once
def _update_steps(dialect: str) -> Update:
    written: Columns = {"status": String(16), "reason": Text(), "output": JsonColumn}
    written = {**written, "input_tokens": BigInteger(), "output_tokens": BigInteger()}
    wanted = rowset(dialect, {"job_id": String(36), "name": String(64), **written}).c
    values = {name: wanted[name] for name in written}
    mine = (steps.c.job_id == wanted.job_id, steps.c.name == wanted.name)
    return update(steps).where(*mine).values(completed_at=db_now(), **values)


def _drafts(one: Write, discard_after: int | None) -> list[Draft]:
    """All events of a write, in order."""
    drafts = list(one.drafts)
    if one.ends:
        place, outcome = one.ends.place, one.ends.outcome
        told = {"step": place.name, "status": outcome.status, "reason": outcome.reason, "progress": place.percent(1.0)}
        drafts.append(("step", {name: value for name, value in told.items() if value is not None}))
    if one.starts:
        data: dict[str, Json] = {"step": one.starts.name, "status": "running", "attempt": one.claim.job.attempt}
        if discard_after is not None:
            data["discard_after"] = discard_after
        drafts.append(("step", data))
    return drafts


def committed_at(connection: Connection, claim: Claim, name: str) -> int | None:
    """The number of the last event, where this claim has committed the step `name`: for a COMMIT whose answer was lost.

    Raises Fenced.
    """
    job = _settled(connection, claim)
    row = connection.execute(
        select(steps.c.status, steps.c.fence).where(steps.c.job_id == claim.id, steps.c.name == name)
    ).one_or_none()
    committed = row is not None and row.fence == claim.fence and row.status in {"completed", "skipped"}
    return job.seq if committed else None


def written_at(connection: Connection, claim: Claim, began: int, before: int) -> int | None:
    """The number of the last event, where a step has written more than `before` events in its course.

    `began` is the number of the event of its start. Raises Fenced.
    """
    job = _settled(connection, claim)
    own = events.c.type.in_(["token", "progress"])
    counted = select(func.count()).where(events.c.job_id == claim.id, events.c.sequence > began, own)
    return job.seq if connection.execute(counted).scalar_one() > before else None


def _settled(connection: Connection, claim: Claim) -> Job:
    """Lock the job, so that the next statement sees what became of a COMMIT that the server may still be busy with."""
    return transitions.touch(connection, claim.id, claim.fence, drafts=0)


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
