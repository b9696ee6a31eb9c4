"""Submission: one transaction accepts jobs (key, row, first event), or refuses them and leaves nothing of them."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Select,
    String,
    insert,
    literal_column,
    select,
    true,
)
from sqlalchemy.sql.dml import ReturningInsert

from generation_service.database import db_now
from generation_service.database.grouping import ALONE, Answer
from generation_service.database.rowsets import ROWS, Columns, built_once, rowset
from generation_service.database.tables import jobs, projects
from generation_service.database.types import Json
from generation_service.database.upsert import upsert_for
from generation_service.errors import Refused
from generation_service.jobs import counters, transitions
from generation_service.jobs.admission import Admission, Ask, Overtaken, admit, confirm, is_fresh
from generation_service.jobs.idempotency import KeyUse, answer_replays, bind, bind_all
from generation_service.jobs.ids import new_job_id
from generation_service.jobs.model import PRIORITIES, Backend, IdempotencyKey, Job, JobId, NewJob, Submitted
from generation_service.jobs.ports import Effect
from generation_service.jobs.routing import Mode, current_mode

__all__ = ["Admission", "Submission", "bind", "submit", "submit_all", "submit_batch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What one caller submits: a job, and the key under which it may come again."""

    wanted: NewJob
    key: IdempotencyKey | None = None
    job_id: JobId = field(default_factory=new_job_id)

    @property
    def key_use(self) -> KeyUse:
        return KeyUse(self.wanted.user_id, self.key, self.job_id)


def submit(
    connection: Connection,
    wanted: NewJob,
    admission: Admission,
    *,
    key: IdempotencyKey | None = None,
    within: Effect | None = None,
) -> Submitted:
    """Accept `wanted`, or find the job that its key made before.

    `within` writes rows that belong to a fresh job. Raises Refused: `idempotency_key_reused` (422),
    `queue_full` (503), `caller_over_limit` (429), `project_not_found` (404: it is another user's);
    then nothing was stored and no key is bound.
    """
    one = Submission(wanted=wanted, key=key, job_id=wanted.id or new_job_id())
    began = time.monotonic()
    while (answer := _accept(connection, [one], admission, within)[0]) is ALONE:
        began = time.monotonic()  # somebody bound its key meanwhile: a new statement sees it
    if isinstance(answer, Exception):
        raise answer
    if not answer.replayed:
        confirm(connection, wanted.user_id, admission, began)
    return answer


def submit_all(
    connection: Connection, submissions: Sequence[Submission], admission: Admission
) -> list[Answer[Submitted]]:
    """Accept what several callers submit, each with its own answer: what was submitted, or why it was refused.

    Of one that was refused nothing stays, and no other is harmed. ALONE is the answer to what would have to wait.
    """
    if len(submissions) == 1:
        one = submissions[0]
        return [submit(connection, replace(one.wanted, id=one.job_id), admission, key=one.key)]
    began = time.monotonic()
    answers = _accept(connection, submissions, admission)
    if connection.dialect.name == "postgresql" and not is_fresh(began):
        raise Overtaken  # each by itself, then
    return answers


def submit_batch(
    connection: Connection, wanted: Sequence[NewJob], admission: Admission, *, within: Effect | None = None
) -> list[Job]:
    """Accept several jobs of one user and one project, all or none; each has an id. In the order of their ids.

    `within` writes rows that belong to them. Raises Refused as `submit`; then nothing was stored.
    """
    first = wanted[0]
    owners = _find_owners(connection, [first])
    for answer in (*admit(connection, [Ask(first.user_id, len(wanted))], admission), *_check_owners([first], owners)):
        if isinstance(answer, Exception):
            raise answer
    accepted = _enter(connection, wanted, admission, owners, within)
    return sorted(accepted, key=lambda job: job.id)


def _accept(
    connection: Connection, submissions: Sequence[Submission], admission: Admission, within: Effect | None = None
) -> list[Answer[Submitted]]:
    """Put to each submission whatever may stand against it, and accept those against which nothing does."""
    answers: list[Answer[Submitted] | None] = [None] * len(submissions)

    def ask(question: Callable[[list[Submission]], Sequence[Answer[Any] | None]]) -> list[Submission]:
        """Put it to those that have no answer yet; those that still have none."""
        waiting = [index for index, answer in enumerate(answers) if answer is None]
        said = question([submissions[index] for index in waiting]) if waiting else ()
        for index, answer in zip(waiting, said, strict=True):
            answers[index] = answer
        return [submissions[index] for index in waiting if answers[index] is None]

    owners = _find_owners(connection, [one.wanted for one in submissions])
    ask(lambda those: answer_replays(connection, [one.key_use for one in those]))
    ask(lambda those: _check_owners([one.wanted for one in those], owners))
    ask(lambda those: admit(connection, [Ask(one.wanted.user_id) for one in those], admission))
    left = ask(lambda those: bind_all(connection, [one.key_use for one in those]))
    wanted = [replace(one.wanted, id=one.job_id) for one in left]
    entered = iter(_enter(connection, wanted, admission, owners, within))
    return [Submitted(next(entered), replayed=False) if answer is None else answer for answer in answers]


def _enter(
    connection: Connection,
    wanted: Sequence[NewJob],
    admission: Admission,
    owners: Mapping[str, str],
    within: Effect | None,
) -> list[Job]:
    """Store jobs that were let in, and what belongs to them, in a few statements however many they are."""
    if not wanted:
        return []
    mode = current_mode(connection)
    _enter_projects(connection, wanted, owners)
    accepted = _insert(connection, [(one, _row(one, _backend(one, mode), admission)) for one in wanted])
    transitions.append_first(connection, accepted, lambda job: {"status": "pending", "backend": job.backend})
    if within is not None:
        within(connection)
    counters.count(connection, "accepted", len(accepted))
    return accepted


def _find_owners(connection: Connection, wanted: Iterable[NewJob]) -> dict[str, str]:
    """Whose the projects are that exist."""
    names = sorted({one.project_id for one in wanted if one.project_id is not None})
    if not names:
        return {}
    rows = connection.execute(_select_owners(connection), {ROWS: [{"id": name} for name in names]})
    return {row.id: row.user_id for row in rows}


def _check_owners(wanted: Sequence[NewJob], owners: Mapping[str, str]) -> list[Answer[None]]:
    """A project is its first user's: what others would generate could quote its documents.

    ALONE where it would be the first use of a project by more than one user at once.
    """
    firsts: dict[str, str] = {}
    answers: list[Answer[None]] = []
    for one in wanted:
        if one.project_id is None:
            answers.append(None)
        elif one.project_id in owners:
            mine = owners[one.project_id] == one.user_id
            answers.append(None if mine else Refused("project_not_found", 404))
        else:
            answers.append(None if firsts.setdefault(one.project_id, one.user_id) == one.user_id else ALONE)
    return answers


def _enter_projects(connection: Connection, wanted: Sequence[NewJob], owners: Mapping[str, str]) -> None:
    """Make the projects that are used for the first time. Raises Refused where another user was faster."""
    firsts = {one.project_id: one for one in wanted if one.project_id is not None and one.project_id not in owners}
    if not firsts:
        return
    rows = [{"id": project_id, "user_id": firsts[project_id].user_id} for project_id in sorted(firsts)]
    made = {row.id for row in connection.execute(_insert_projects(connection), {ROWS: rows})}
    # In a new statement: under READ COMMITTED this one sees what the winner has committed meanwhile.
    lost = _find_owners(connection, [one for project_id, one in firsts.items() if project_id not in made])
    if any(firsts[project_id].user_id != owner for project_id, owner in lost.items()):
        raise Refused("project_not_found", 404)


def _backend(wanted: NewJob, mode: Mode | None) -> Backend:
    if wanted.backend is not None:
        return wanted.backend
    return mode.target_for(wanted.project_id) if mode else "background_tasks"


def _row(wanted: NewJob, backend: Backend, admission: Admission) -> dict[str, Any]:
    """What differs from job to job, as JSON has it."""
    return {
        "id": wanted.id,
        "kind": wanted.kind,
        "recipe": wanted.recipe,
        "project_id": wanted.project_id,
        "user_id": wanted.user_id,
        "request": dict(wanted.request),
        "priority": PRIORITIES.index(wanted.priority),
        "max_attempts": wanted.max_attempts or admission.max_attempts,
        "budget_tokens": wanted.budget_tokens,
        "backend": backend,
    }


_FRESH: Any = {
    "status": "pending",
    "delivery": 1,  # the adapter delivers right after the commit; recovery finds the delivery that got lost
    "seq": 1,
    **dict.fromkeys(("fence", "failures", "steps_since_claim", "claims"), 0),
    **dict.fromkeys(("progress", "input_tokens", "output_tokens", "saved_tokens"), 0),
    **dict.fromkeys(("holder", "lease_until", "due_at", "error", "result", "started_at", "completed_at")),
}
"""What every job begins with."""


def _insert(connection: Connection, wanted: Sequence[tuple[NewJob, dict[str, Any]]]) -> list[Job]:
    """Insert jobs in one statement; they are known but for their times, so nothing else is read back."""
    inserted = connection.execute(_insert_jobs(connection), {ROWS: [row for _, row in wanted]})
    times = {row.id: (row.created_at, row.delivered_at) for row in inserted}
    return [
        Job(**row | _FRESH | {"priority": one.priority}, created_at=times[one.id][0], delivered_at=times[one.id][1])
        for one, row in wanted
    ]


@built_once
def _insert_jobs(dialect: str) -> ReturningInsert[Any]:
    given: Columns = {
        **dict.fromkeys(("id", "kind", "recipe", "project_id", "user_id", "backend"), String()),
        "request": Json,
        **dict.fromkeys(("priority", "max_attempts"), Integer()),
        "budget_tokens": BigInteger(),
    }
    wanted = rowset(dialect, given).c
    values = {name: wanted[name] for name in given} | {"created_at": db_now(), "delivered_at": db_now()}
    values |= {name: literal_column(f"{value!r}") for name, value in _FRESH.items() if value is not None}
    fresh = insert(jobs).from_select(list(values), select(*values.values()))
    return fresh.returning(jobs.c.id, jobs.c.created_at, jobs.c.delivered_at)


@built_once
def _select_owners(dialect: str) -> Select[Any]:
    wanted = rowset(dialect, {"id": String()}).c
    return select(projects.c.id, projects.c.user_id).where(projects.c.id == wanted.id)


@built_once
def _insert_projects(dialect: str) -> ReturningInsert[Any]:
    # SQLite takes an ON CONFLICT behind a SELECT for a join's, unless there is a WHERE.
    wanted = select(*rowset(dialect, {"id": String(), "user_id": String()}).c, literal_column("0"), db_now())
    fresh = upsert_for(dialect, projects).from_select(
        ["id", "user_id", "episode_count", "created_at"], wanted.where(true())
    )
    return fresh.on_conflict_do_nothing().returning(projects.c.id)
