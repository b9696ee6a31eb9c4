"""The ports of a switchover: what it asks of those who move jobs, compare, count, and try RQ out."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from generation_service.database import Database
from generation_service.jobs.model import Backend, Json
from generation_service.switching.switches import Switch


class Told(Protocol):
    """A result that can be kept in a report."""

    def as_json(self) -> Mapping[str, Json]: ...


class Migrating(Protocol):
    """Moves jobs from backend to backend; twice is once, and it may be killed at any line."""

    async def run(
        self,
        source: Backend,
        target: Backend,
        *,
        include_running: bool,
        dry_run: bool,
        by: str,
        epoch: int | None = None,
    ) -> Told:
        """Move jobs; with `epoch` only while that mode is in force. Raises Refused."""


class Syncing(Protocol):
    """Brings RQ's view and the database together."""

    async def run(self, *, dry_run: bool) -> Told: ...


class Counted(Told, Protocol):
    """What a look at the ledger found."""

    @property
    def clean(self) -> bool: ...


class Counting(Protocol):
    """Counts what was accepted against what is live and what has ended."""

    async def check(self) -> Counted: ...

    async def recent(self, seconds: float) -> Counted:
        """The last count, if it is not older than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One thing that must hold before jobs go to RQ again, and what was seen of it."""

    name: str
    passed: bool
    seen: Mapping[str, Json] = field(default_factory=dict)

    def as_json(self) -> dict[str, Json]:
        return {"name": self.name, "passed": self.passed, "seen": dict(self.seen)}


class Gating(Protocol):
    """Finds out whether jobs may go to RQ again; `criteria` is what people say to each of CRITERIA."""

    async def check(self, criteria: Mapping[str, str | None]) -> Sequence[Gate]: ...


Notify = Callable[[Switch], Coroutine[Any, Any, None]]
"""Tells the world outside of a switch that has ended; bounded in time, and never raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a switchover is made of."""

    database: Database
    migration: Migrating
    sync: Syncing
    ledger: Counting
    gates: Gating
