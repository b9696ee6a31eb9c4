"""The port through which the switch sees RQ: what lies where, which never counts for more than the database says."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from generation_service.jobs.model import JobId

Place = Literal[
    "queue", "intermediate", "started", "abandoned", "finished", "failed", "deferred", "scheduled", "canceled"
]
"""Where an entry lies. `started`: with a heartbeat that still counts; `abandoned`: with one that does not."""

WAITING_PLACES: frozenset[Place] = frozenset({"queue", "intermediate", "deferred", "scheduled"})
"""What lies here would still be run, or was just about to be."""

RUNNING_PLACES: frozenset[Place] = frozenset({"started", "abandoned"})
TRACE_PLACES: frozenset[Place] = frozenset({"finished", "failed", "canceled"})
ALL_PLACES: frozenset[Place] = WAITING_PLACES | RUNNING_PLACES | TRACE_PLACES


class RqRefused(ConnectionError):
    """Redis answers and does not do what it was asked: read-only, out of memory, unable to write to its disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One id in one place of RQ.

    `job_id` is the job that it delivers. Where that is None, `reason` says why the entry is foreign; None
    as well: it is a tick of the schedules. `raw_id` is the id as it lies in Redis, `rq_id` the same for
    people, `raw` the payload (empty where there is none, and cut off beyond what an entry of ours can have).
    """

    rq_id: str
    raw_id: bytes
    queue: str
    place: Place
    status: str | None  # RQ's own word for it, where it was read
    job_id: JobId | None
    delivery: int | None  # its number, where the id is one of ours
    reason: str | None
    raw: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """Entries that lay there at one instant, and the keys that hold what RQ would never put there."""

    entries: Sequence[Entry]
    unreadable: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What somebody put aside in `rq:queue:migration_failed`, as a dead letter would tell it."""

    origin: str
    reason: str
    detail: str
    raw: bytes


class RqView(Protocol):
    """All calls are blocking; each raises ConnectionError where Redis does not answer, RqRefused where it refuses."""

    def pages(self, places: Collection[Place] = ALL_PLACES, *, by_id: bool = False) -> Iterator[Page]:
        """What lies in these places of our queues, page by page; an entry that moves meanwhile may come twice.

        What waits is told by its payload, which is what would be run; `by_id`: an id that names a job is believed.
        """

    def absent(self, rq_ids: Sequence[str]) -> set[str]:
        """Those that are in no list and no registry; all are looked for at one instant."""

    def occurrences(self, rq_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """For each, the places where it waits or runs, named once for each time it lies there; at one instant."""

    def take_out(self, entries: Sequence[Entry]) -> int:
        """Take entries out of their places, with their traces; how many were still there."""

    def set_aside(self, entries: Sequence[Entry]) -> int:
        """Move entries to `rq:queue:migration_failed`, with their payload and reason; how many were still there.

        Each is one step that nobody can come in between. Keep them as dead letters first.
        """

    def letters(self) -> Iterator[Sequence[Letter]]:
        """What lies in `rq:queue:migration_failed`, page by page; it stays there."""
