"""Idempotency keys: what was submitted with a key before is answered with the job that it made."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, String, bindparam, delete, select, true
from sqlalchemy.sql.dml import ReturningInsert

from generation_service.database import db_now
from generation_service.database.grouping import ALONE, Answer
from generation_service.database.rowsets import ROWS, Columns, built_once, rowset
from generation_service.database.tables import idempotency_keys, jobs
from generation_service.database.upsert import insert_if_absent, upsert_for
from generation_service.errors import Refused
from generation_service.jobs import transitions
from generation_service.jobs.model import IdempotencyKey, Job, JobId, Submitted

_BOUND: Columns = {"user_id": String(), "route": String(), "key": String()}
_BINDING: Columns = {**_BOUND, "fingerprint": String(), "job_id": String()}


@dataclass(frozen=True, slots=True)
class KeyUse:
    """A key in the hands of its caller, for a job that is about to be accepted; None: the job has no key."""

    user_id: str
    key: IdempotencyKey | None
    job_id: JobId

    @property
    def place(self) -> tuple[str, str, str] | None:
        """What is unique: caller, route and key."""
        return None if self.key is None else (self.user_id, self.key.route, self.key.key)


def answer_replays(connection: Connection, uses: Sequence[KeyUse]) -> list[Answer[Submitted] | None]:
    """Answer those whose key was used before: with the job it made, or Refused `idempotency_key_reused` (422).

    ALONE where a key is used twice in `uses`, from its second use on, and where what it was bound to is no more:
    a single use frees it then and is not answered. None: the key, if there is one, is free.
    """
    places = sorted({use.place for use in uses if use.place is not None})
    if not places:
        return [None] * len(uses)
    found = _find(connection, places)
    made = _jobs(connection, sorted({row.job_id for row in found.values()})) if found else {}
    answers: list[Answer[Submitted] | None] = []
    seen: set[tuple[str, str, str]] = set()
    for use in uses:
        bound = found.get(use.place) if use.place else None
        if bound is not None:
            answers.append(_answer(connection, use, bound, made.get(bound.job_id), single=len(uses) == 1))
        else:
            answers.append(ALONE if use.place in seen else None)
        if use.place is not None:
            seen.add(use.place)
    return answers


def bind_all(connection: Connection, uses: Sequence[KeyUse]) -> list[Answer[Submitted] | None]:
    """Bind the keys that are free; ALONE where somebody was faster. None: bound, or without a key.

    Waits for other transactions that are binding the same keys.
    """
    rows = [
        {"user_id": use.user_id, "route": use.key.route, "key": use.key.key}
        | {"fingerprint": use.key.fingerprint, "job_id": use.job_id}
        for use in uses
        if use.key is not None
    ]
    if not rows:
        return [None] * len(uses)
    rows.sort(key=lambda row: (row["user_id"], row["route"], row["key"]))  # one order for all: nobody waits in a circle
    won = {row.job_id for row in connection.execute(_insert_keys(connection), {ROWS: rows})}
    return [None if use.key is None or use.job_id in won else ALONE for use in uses]


def bind(connection: Connection, user_id: str, key: IdempotencyKey, job_id: JobId) -> Job | None:
    """Bind the key to `job_id`; the job it was bound to before, where it was.

    Raises Refused `idempotency_key_reused` (422).
    """
    row = {"user_id": user_id, "route": key.route, "key": key.key}
    fresh = {**row, "fingerprint": key.fingerprint, "job_id": job_id, "created_at": db_now()}
    while not insert_if_absent(connection, idempotency_keys, fresh):
        # In a new statement: under READ COMMITTED this one sees what the winner has committed meanwhile.
        answer = answer_replays(connection, [KeyUse(user_id, key, job_id)])[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Submitted):
            return answer.job
    return None


def _answer(
    connection: Connection, use: KeyUse, bound: Any, job: Job | None, *, single: bool
) -> Answer[Submitted] | None:
    if job is None:  # it was pruned: the key is free
        if not single:
            return ALONE
        mine = [idempotency_keys.c[name] == getattr(bound, name) for name in (*_BOUND, "job_id")]
        connection.execute(delete(idempotency_keys).where(*mine))  # as it was seen: it may have been bound anew since
        return None
    if use.key is not None and bound.fingerprint != use.key.fingerprint:
        return Refused("idempotency_key_reused", 422)
    return Submitted(job, replayed=True)


def _find(connection: Connection, places: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], Any]:
    rows = [dict(zip(_BOUND, place, strict=True)) for place in places]
    found = connection.execute(_select_keys(connection), {ROWS: rows})
    return {(row.user_id, row.route, row.key): row for row in found}


def _jobs(connection: Connection, job_ids: Sequence[str]) -> dict[JobId, Job]:
    rows = connection.execute(_SELECT_JOBS, {"ids": job_ids})
    return {job.id: job for job in map(transitions.job_of, rows)}


_SELECT_JOBS: Select[Any] = select(jobs).where(jobs.c.id.in_(bindparam("ids", expanding=True)))


@built_once
def _select_keys(dialect: str) -> Select[Any]:
    wanted = rowset(dialect, _BOUND).c
    return select(idempotency_keys).where(*(idempotency_keys.c[name] == wanted[name] for name in _BOUND))


@built_once
def _insert_keys(dialect: str) -> ReturningInsert[Any]:
    # SQLite takes an ON CONFLICT behind a SELECT for a join's, unless there is a WHERE.
    wanted = select(*rowset(dialect, _BINDING).c, db_now()).where(true())
    fresh = upsert_for(dialect, idempotency_keys).from_select([*_BINDING, "created_at"], wanted)
    return fresh.on_conflict_do_nothing().returning(idempotency_keys.c.job_id)
