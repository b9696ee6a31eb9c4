"""Ids: UUIDv7 (RFC 9562), which sort by the time they were made."""

import os
import time
from uuid import UUID

from generation_service.jobs.model import JobId


def uuid7() -> str:
    """Return a new UUIDv7 as text: 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=value))


def new_job_id() -> JobId:
    """Return the id of a job that is about to be accepted."""
    return JobId(uuid7())


def is_id(text: str) -> bool:
    """Whether `text` could be an id of ours; anything else need not be looked up."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
