"""How many jobs may be live: in all, and of one caller. Limits hold over all processes together (I7)."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Connection, Select, bindparam, func, select, text

from generation_service.database.grouping import ALONE, Answer
from generation_service.database.tables import jobs
from generation_service.errors import Refused
from generation_service.jobs import counters

_RETRY_AFTER = {"Retry-After": "30"}
_CALLERS_LOCK = 4_771_204  # first half of an advisory lock whose second half is the caller

# So close to a caller's limit, a batch aside, submissions of that caller take turns: more than what is being
# accepted anywhere at this moment and not committed yet, a group of each of a dozen processes.
_NEAR_THE_LIMIT = 2_048
_FRESH_SECONDS = 0.5  # a count is relied on so long: a dozen processes do not accept so many in this time


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """How much may be live at once: in all (beyond: 503), and of one caller (beyond: 429).

    `largest_batch` is the most jobs that one submission may bring.
    """

    max_live: int
    max_live_per_user: int
    max_attempts: int
    largest_batch: int = 1

    @property
    def near(self) -> int:
        """With fewer live jobs than this, nobody need look at what others are submitting right now."""
        return self.max_live_per_user - _NEAR_THE_LIMIT - self.largest_batch


class Overtaken(Exception):
    """What was counted is too old to be relied on: somebody else's turn was waited for meanwhile."""


@dataclass(frozen=True, slots=True)
class Ask:
    """How many jobs a user asks to add."""

    user_id: str
    count: int = 1


Verdict: TypeAlias = Answer[None]


def admit(connection: Connection, asks: Sequence[Ask], admission: Admission) -> list[Verdict]:
    """Whether there is room, for each ask in turn: None, or why not. Who comes first gets what room there is.

    Refused is `queue_full` (503) or `caller_over_limit` (429). A single ask waits for its caller's turn where it
    must; of several, those that would have to wait are answered ALONE.
    """
    live = counters.live(connection)
    of_callers = _of_callers(connection, asks, live, admission)
    verdicts: list[Verdict] = []
    for ask in asks:
        mine = 0 if of_callers is None else of_callers.get(ask.user_id)
        if mine is None:
            verdicts.append(ALONE)
        elif live + ask.count > admission.max_live:
            verdicts.append(Refused("queue_full", 503, headers=_RETRY_AFTER))
        elif mine + ask.count > admission.max_live_per_user:
            verdicts.append(_over_limit(admission))
        else:
            verdicts.append(None)
            live += ask.count
            if of_callers is not None:
                of_callers[ask.user_id] = mine + ask.count
    return verdicts


def confirm(connection: Connection, user_id: str, admission: Admission, counted_at: float) -> None:
    """Make sure, before the commit, that a caller is still within its limit; `counted_at` is monotonic.

    Whoever was far from the limit took no turn. That is right as long as few can be accepted meanwhile; who had
    to wait for a row counts again, in turn, its own rows included. Raises Refused.
    """
    if connection.dialect.name != "postgresql" or is_fresh(counted_at):
        return
    _take_turns(connection, [user_id], waits=True)
    if _count(connection, [user_id])[user_id] > admission.max_live_per_user:
        raise _over_limit(admission)


def is_fresh(counted_at: float) -> bool:
    """Whether no more than `_NEAR_THE_LIMIT` jobs can have been accepted anywhere since then."""
    return time.monotonic() - counted_at < _FRESH_SECONDS


def _over_limit(admission: Admission) -> Refused:
    return Refused("caller_over_limit", 429, params={"limit": admission.max_live_per_user}, headers=_RETRY_AFTER)


def _of_callers(connection: Connection, asks: Sequence[Ask], live: int, admission: Admission) -> dict[str, int] | None:
    """How many live jobs each caller has, without those whose turn it is not; None: nobody can be over the limit."""
    wanted: dict[str, int] = {}
    for ask in asks:
        wanted[ask.user_id] = wanted.get(ask.user_id, 0) + ask.count
    if live + sum(wanted.values()) <= admission.near and all(ask.count == 1 for ask in asks):
        return None
    found = _count(connection, wanted)
    if connection.dialect.name != "postgresql":  # one writer at a time: what was counted stays true
        return found
    close = _close(asks, wanted, found, admission)
    turns = _take_turns(connection, close, waits=len(asks) == 1) if close else frozenset()
    seen = _count(connection, turns) if turns else {}  # again: now nobody else adds to it
    return {user: count for user, count in found.items() if user not in close} | seen


def _close(asks: Sequence[Ask], wanted: Mapping[str, int], found: Mapping[str, int], admission: Admission) -> set[str]:
    """The callers who are so near their limit that others' submissions of theirs matter."""
    batches = {ask.user_id for ask in asks if ask.count > 1}
    return {user for user, count in wanted.items() if user in batches or found[user] + count > admission.near}


def _take_turns(connection: Connection, users: Collection[str], *, waits: bool) -> set[str]:
    """Lock these callers until the end of the transaction; those that were got. `waits`: all of them."""
    call = (
        "pg_advisory_xact_lock(:lock, hashtext(name)) IS NOT NULL"
        if waits
        else ("pg_try_advisory_xact_lock(:lock, hashtext(name))")
    )
    statement = text(f"SELECT name, {call} FROM unnest(CAST(:names AS text[])) AS name")
    rows = connection.execute(statement, {"lock": _CALLERS_LOCK, "names": sorted(users)})
    return {name for name, got in rows if got}


def _count(connection: Connection, users: Collection[str]) -> dict[str, int]:
    found = {row.user_id: int(row.live) for row in connection.execute(_LIVE_OF, {"users": sorted(users)})}
    return {user: found.get(user, 0) for user in users}


_LIVE_OF: Select[Any] = (
    select(jobs.c.user_id, func.count().label("live"))
    .where(jobs.c.user_id.in_(bindparam("users", expanding=True)), jobs.c.status.in_(["pending", "running"]))
    .group_by(jobs.c.user_id)
)
