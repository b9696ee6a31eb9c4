"""Ids: UUIDv7 (RFC 9562), which sort by the time they were made."""

import os
import re
import time
from uuid import UUID

from generation_service.jobs.model import JobId

_FORM = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class _Chance:
    """Random bytes of the system, fetched for many ids at once.

    Each call lets go of the interpreter, which costs a busy event loop more than all the rest of an id does.
    A fork begins with none of its parent's bytes.
    """

    _BYTES = 10

    def __init__(self) -> None:
        self._left: list[bytes] = []
        os.register_at_fork(after_in_child=self._left.clear)

    def take(self) -> bytes:
        """Return ten bytes that nobody else has; from any thread."""
        try:
            return self._left.pop()
        except IndexError:
            fetched = os.urandom(self._BYTES * 128)
            self._left.extend(fetched[at : at + self._BYTES] for at in range(self._BYTES, len(fetched), self._BYTES))
            return fetched[: self._BYTES]


_chance = _Chance()


def uuid7() -> str:
    """Return a new UUIDv7 as text: 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(_chance.take(), "big")
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=value))


def new_job_id() -> JobId:
    """Return the id of a job that is about to be accepted."""
    return JobId(uuid7())


def is_id(text: str) -> bool:
    """Whether `text` could be an id of ours; anything else need not be looked up."""
    return _FORM.fullmatch(text) is not None
