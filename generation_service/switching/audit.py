"""The audit: who did what, why, and with what result, in a chain that shows whether anybody has touched it.

Each entry's digest is the SHA-256 of the entry's canonical JSON, the digest before it included; the
chain's head is kept apart, and changes in the transaction that adds the entry. So an entry that was
changed, removed, inserted, reordered or cut off is found. Whoever may write to the database could
compute a whole chain anew: against that, compare with a head that was noted elsewhere (each is logged).
"""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Row, insert, select, text, update

from generation_service.database import db_now
from generation_service.database.operations import audit
from generation_service.database.tables import service_state
from generation_service.database.upsert import insert_if_absent, upsert
from generation_service.jobs.model import Json
from generation_service.jobs.queries import Page, number_before

_log = logging.getLogger(__name__)

HEAD = "audit_head"
NO_DIGEST = "0" * 64

_LARGEST_PART_BYTES = 16 * 1024
_SHORT = {"actor": 200, "action": 64, "outcome": 64}  # as long as their columns
_LONGEST_REASON = 2000
_BATCH = 500
_BOUND = "audit_bound:"
_BOUND_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry before it has its place in the chain.

    `actor`: admin@<address>, cli:<user>, trigger:<name>. `outcome`: begun, done, previewed, refused,
    failed, or another short word. `request` and `result` are JSON and hold no secrets; a part of more
    than 16 KiB is kept as its size and digest.
    """

    actor: str
    action: str
    reason: str = ""
    request: Mapping[str, Json] = field(default_factory=dict)
    outcome: str = "done"
    result: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the chain ends: the last entry's number and digest; 0 where there is none."""

    sequence: int = 0
    digest: str = NO_DIGEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What `verify` found: how many entries are as they were, and the first that is not (None: all are)."""

    entries: int
    head: Head
    broken_at: int | None = None
    why: str | None = None  # changed, missing, inserted, head

    @property
    def intact(self) -> bool:
        return self.broken_at is None

    def as_json(self) -> dict[str, Json]:
        """The verdict for programs."""
        return {
            "intact": self.intact,
            "entries": self.entries,
            "head": {"sequence": self.head.sequence, "digest": self.head.digest},
            "broken_at": self.broken_at,
            "why": self.why,
        }


def record(connection: Connection, entry: Entry) -> Head:
    """Add an entry to the chain, in the caller's transaction; return the head as it is then.

    It locks the head until the transaction ends: make it the last thing that the transaction does.
    """
    return _append(connection, entry, _locked_head(connection))


def record_bounded(connection: Connection, entry: Entry, *, kind: str, limit: int) -> float:
    """Add an entry unless `limit` of its kind were added in this minute, by whichever process.

    Returns 0 where it was added, else the seconds until the next minute: until then nothing is added.
    """
    head = _locked_head(connection)  # whoever adds waits here, so that the count holds over all processes
    now: datetime = connection.execute(select(db_now())).scalar_one()
    minute, second = divmod(now.timestamp(), _BOUND_SECONDS)
    name = f"{_BOUND}{kind}"[:64]
    counted = connection.execute(select(service_state.c.value).where(service_state.c.name == name)).scalar_one_or_none()
    before = counted["entries"] if counted and counted["minute"] == minute else 0
    if before >= limit:
        return _BOUND_SECONDS - second
    value = {"minute": minute, "entries": before + 1}
    statement = upsert(connection, service_state).values(name=name, value=value, updated_at=db_now())
    connection.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"value": value, "updated_at": db_now()})
    )
    _append(connection, entry, head)
    return 0.0


def verify(connection: Connection, noted: Head | None = None) -> Verdict:
    """Read the whole chain as it stands at one instant and say whether it is as it was written.

    `noted`: a head that somebody noted earlier, which must still be in the chain. It must be the first
    thing that its transaction does.
    """
    if connection.dialect.name == "postgresql":  # one snapshot for all that follows
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
    head = _head(connection)
    entries = select(audit).order_by(audit.c.sequence).execution_options(yield_per=_BATCH)
    with connection.execute(entries) as rows:
        return _judge(rows, head, noted)


def page(connection: Connection, *, limit: int, cursor: str | None) -> Page[Mapping[str, Any]]:
    """A page of entries, the newest first. Raises Refused `invalid_cursor` (422)."""
    before = number_before(cursor)
    wanted = select(audit).where(audit.c.sequence < before).order_by(audit.c.sequence.desc()).limit(limit + 1)
    rows: list[Mapping[str, Any]] = [dict(row) for row in connection.execute(wanted).mappings()]
    return Page(rows[:limit], str(rows[limit - 1]["sequence"]) if len(rows) > limit else None)


def _append(connection: Connection, entry: Entry, head: Head) -> Head:
    at: datetime = connection.execute(select(db_now())).scalar_one()
    row = {"sequence": head.sequence + 1, "at": at, **_columns(entry), "previous": head.digest}
    row["digest"] = _digest_of(row)
    connection.execute(insert(audit).values(**row))
    fresh = Head(sequence=row["sequence"], digest=row["digest"])
    value = {"sequence": fresh.sequence, "digest": fresh.digest}
    connection.execute(
        update(service_state).where(service_state.c.name == HEAD).values(value=value, updated_at=db_now())
    )
    extra = {"action": "audited", "sequence": fresh.sequence, "digest": fresh.digest, "audited": row["action"]}
    _log.info("%s: %s %s", row["actor"], row["action"], row["outcome"], extra=extra)
    return fresh


def _judge(rows: Iterable[Row[Any]], head: Head, noted: Head | None) -> Verdict:
    last = Head()
    for row in rows:
        why = _broken(row, last, head) or _not_as_noted(row, noted)
        if why:
            return Verdict(entries=last.sequence, head=head, broken_at=_first_bad(row, last, why), why=why)
        last = Head(sequence=row.sequence, digest=row.digest)
    if last.sequence < max(head.sequence, noted.sequence if noted else 0):
        return Verdict(entries=last.sequence, head=head, broken_at=last.sequence + 1, why="missing")
    if last.digest != head.digest:
        return Verdict(entries=last.sequence, head=head, broken_at=last.sequence, why="head")
    return Verdict(entries=last.sequence, head=head)


def _broken(row: Row[Any], last: Head, head: Head) -> str | None:
    """What is wrong with this entry behind `last`; None: nothing."""
    if row.sequence != last.sequence + 1:
        return "missing"
    if row.sequence > head.sequence:
        return "inserted"
    columns = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    if columns.pop("digest") != _digest_of(columns) or row.previous != last.digest:
        return "changed"
    return None


def _not_as_noted(row: Row[Any], noted: Head | None) -> str | None:
    differs = noted is not None and row.sequence == noted.sequence and row.digest != noted.digest
    return "changed" if differs else None


def _first_bad(row: Row[Any], last: Head, why: str) -> int:
    return last.sequence + 1 if why == "missing" else int(row.sequence)


def _head(connection: Connection) -> Head:
    value = connection.execute(select(service_state.c.value).where(service_state.c.name == HEAD)).scalar_one_or_none()
    return Head(**value) if value else Head()


def _locked_head(connection: Connection) -> Head:
    wanted = select(service_state.c.value).where(service_state.c.name == HEAD).with_for_update()
    value = connection.execute(wanted).scalar_one_or_none()
    if value is None:
        first = {"name": HEAD, "value": {"sequence": 0, "digest": NO_DIGEST}, "updated_at": db_now()}
        insert_if_absent(connection, service_state, first)
        value = connection.execute(wanted).scalar_one()
    return Head(**value)


def _columns(entry: Entry) -> dict[str, Any]:
    """The entry's own columns as the database will give them back: else its digest would not hold."""
    texts = {name: _storable(getattr(entry, name))[:longest] for name, longest in _SHORT.items()}
    return {
        **texts,
        "reason": _storable(entry.reason)[:_LONGEST_REASON],
        "request": _part(entry.request),
        "result": _part(entry.result),
    }


def _part(given: Mapping[str, Json]) -> Json:
    written = json.dumps(_plain(given), ensure_ascii=True, sort_keys=True)
    if len(written) <= _LARGEST_PART_BYTES:
        return json.loads(written)
    return {"too_long": True, "bytes": len(written), "sha256": sha256(written.encode()).hexdigest()}


def _plain(value: Any) -> Json:
    """JSON that either database returns as it was given: JSONB rewrites numbers, and takes no NUL."""
    if isinstance(value, Mapping):
        return {_storable(str(name)): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return _number(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    return _storable(value.isoformat() if isinstance(value, datetime) else str(value))


def _number(value: float) -> Json:
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN alone differs from itself
        return str(value)
    return int(value) if value.is_integer() else value


def _storable(given: str) -> str:
    """The text without NUL and without halves of surrogate pairs, which no database takes."""
    return given.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _digest_of(row: Mapping[str, Any]) -> str:
    """SHA-256, hexadecimal, of the canonical JSON of everything but the digest itself."""
    at: datetime = row["at"]
    told = {**row, "at": at.astimezone(UTC).isoformat(timespec="microseconds")}
    canonical = json.dumps(told, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return sha256(canonical.encode("ascii")).hexdigest()
