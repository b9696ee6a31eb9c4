"""Reads what was popped: a delivery of ours, or something foreign, which is kept and never called.

Only JSON is read (nothing is unpickled), only the two entry points of this project are known, and
nothing else of an entry counts: neither its callbacks nor its class names.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from generation_service.jobs.ids import is_id
from generation_service.jobs.model import JobId
from workers.names import FIRE_SCHEDULES, RUN_JOB, job_id_of

MOST_PAYLOAD_BYTES = 64 * 1024  # ours have less than 200

ForeignReason = Literal[
    "unreadable_payload", "oversized_payload", "missing_payload", "foreign_function", "foreign_arguments", "foreign_id"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery of ours that this worker has popped; `job_id` None: a tick, which fires what is due."""

    rq_id: str
    queue: str
    job_id: JobId | None
    has_payload: bool = True
    execution_id: str = field(default_factory=lambda: uuid4().hex)
    popped_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignEntry:
    """Something in a queue of ours that is not ours; `raw` is its payload, `raw_id` its id as it lies in Redis."""

    rq_id: str
    queue: str
    reason: ForeignReason
    raw: bytes
    raw_id: bytes


def read(queue: str, raw_id: bytes, payload: bytes | None) -> Delivery | ForeignEntry:
    """Decide what lies under `raw_id`; `payload` is the field `data` of its hash, None where there is none."""
    rq_id = printable(raw_id)
    subject = _subject(rq_id, payload) if raw_id.isascii() else "foreign_id"
    if isinstance(subject, str):
        return ForeignEntry(rq_id=rq_id, queue=queue, reason=subject, raw=payload or b"", raw_id=raw_id)
    return Delivery(rq_id=rq_id, queue=queue, job_id=subject.job_id, has_payload=payload is not None)


def printable(raw: bytes) -> str:
    """Bytes from Redis for people and for the database, which takes no NUL: what does not print is escaped."""
    text = raw.decode("ascii", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)


@dataclass(frozen=True, slots=True)
class _Subject:
    job_id: JobId | None


# What the adapter writes, before the job's id and behind it: nothing else has to be parsed.
_BEFORE_ID = f'["{RUN_JOB}", null, ["'.encode()
_BEHIND_ID = b'"], {}]'


def _subject(rq_id: str, payload: bytes | None) -> _Subject | ForeignReason:
    if payload is not None and payload.startswith(_BEFORE_ID) and payload.endswith(_BEHIND_ID):
        named = payload[len(_BEFORE_ID) : -len(_BEHIND_ID)].decode("ascii", "replace")
        if is_id(named):
            return _Subject(JobId(named))
    if payload is None:
        # The trace is gone, the id still names the job: the claim decides whether it is to be run.
        job_id = job_id_of(rq_id)
        return _Subject(job_id) if job_id and is_id(job_id) else "missing_payload"
    text = _inflated(payload)
    if text is None:
        return "oversized_payload"
    try:
        call = json.loads(text)
    except (ValueError, RecursionError):
        return "unreadable_payload"
    return _called(call)


def _called(call: Any) -> _Subject | ForeignReason:
    match call:
        case [str(function), None, [*arguments], {**keywords}] if function in {RUN_JOB, FIRE_SCHEDULES}:
            return "foreign_arguments" if keywords else _argued(function, arguments)
        case [_, _, _, _]:
            return "foreign_function"
        case _:
            return "unreadable_payload"


def _argued(function: str, arguments: Sequence[Any]) -> _Subject | ForeignReason:
    match arguments:
        case [] if function == FIRE_SCHEDULES:
            return _Subject(None)
        case [str(job_id)] if function == RUN_JOB and is_id(job_id):
            return _Subject(JobId(job_id))
        case _:
            return "foreign_arguments"


def _inflated(payload: bytes) -> bytes | None:
    """The payload as it was before RQ compressed it; None where it is larger than any of ours."""
    if payload.startswith(b"["):
        return None if len(payload) > MOST_PAYLOAD_BYTES else payload
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(payload, MOST_PAYLOAD_BYTES + 1)
    except zlib.error:
        text = payload  # RQ takes what is not compressed, too
    return None if len(text) > MOST_PAYLOAD_BYTES else text
