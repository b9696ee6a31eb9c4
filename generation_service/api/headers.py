"""Request headers of our own: Idempotency-Key, Prefer, Last-Event-ID."""

import json
import re
from hashlib import sha256
from typing import Annotated

from fastapi import Depends, Query
from starlette.requests import Request

from generation_service.errors import Refused
from generation_service.jobs.model import IdempotencyKey, Json

LONGEST_WAIT_SECONDS = 60
LARGEST_SEQUENCE = 2**63 - 1

_BARE = re.compile(r"[\x21\x23-\x7e][\x20-\x7e]{0,254}")
_QUOTED = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"')
_WAIT = re.compile(r'\s*wait\s*=\s*(?:"(\d{1,6})"|(\d{1,6}))\s*', re.IGNORECASE)
_SEQUENCE = re.compile(r"\d{1,19}")
_LONGEST_KEY = 255


def idempotency_key(request: Request, route: str, validated: Json) -> IdempotencyKey | None:
    """The key of `given_key` with the fingerprint of the validated request; None where there is none."""
    key = given_key(request)
    return None if key is None else IdempotencyKey(route=route, key=key, fingerprint=fingerprint(validated))


def given_key(request: Request) -> str | None:
    """The Idempotency-Key that the caller gave; None where there is none.

    A key may be quoted, as the IETF draft (draft-ietf-httpapi-idempotency-key-header) has it, or bare.
    Raises Refused `idempotency_key_invalid` (400).
    """
    given = request.headers.getlist("idempotency-key")
    key = parse_key(given[0]) if len(given) == 1 else None
    if given and key is None:
        raise Refused("idempotency_key_invalid", 400)
    return key


def parse_key(header: str) -> str | None:
    """The key in a header value; None where it is not one: 1 to 255 printable ASCII characters."""
    text = header.strip()
    quoted = _QUOTED.fullmatch(text)
    if quoted:
        key = re.sub(r"\\(.)", r"\1", quoted.group(1))
        return key if key.strip() and len(key) <= _LONGEST_KEY else None
    return text if _BARE.fullmatch(text) else None


def fingerprint(validated: Json) -> str:
    """SHA-256, hexadecimal, of canonical JSON: the same for the same request however it was written."""
    canonical = json.dumps(validated, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sha256(canonical.encode("utf-8")).hexdigest()


def preferred_wait(request: Request) -> int | None:
    """The seconds of `Prefer: wait=N` (RFC 7240), at most 60; None where it is not asked for, or not understood.

    The RFC has a server ignore a preference that it does not understand.
    """
    for header in request.headers.getlist("prefer"):
        for preference in header.split(","):
            found = _WAIT.fullmatch(preference.partition(";")[0])
            if found:
                return min(int(found.group(1) or found.group(2)), LONGEST_WAIT_SECONDS)
    return None


def last_event_id(request: Request) -> int | None:
    """The number in Last-Event-ID; None without one. Raises Refused `last_event_id_invalid` (400)."""
    given = (request.headers.get("last-event-id") or "").strip()
    if not given:
        return None
    if not _SEQUENCE.fullmatch(given) or int(given) > LARGEST_SEQUENCE:
        raise Refused("last_event_id_invalid", 400)
    return int(given)


async def resume_after(
    request: Request,
    after: Annotated[int, Query(ge=0, le=LARGEST_SEQUENCE, description="resume after this event")] = 0,
) -> int:
    """The event behind which a stream begins: that of Last-Event-ID, else `?after=`; a dependency.

    Raises Refused `last_event_id_invalid` (400).
    """
    resume = last_event_id(request)
    return after if resume is None else resume


ResumeAfter = Annotated[int, Depends(resume_after)]
