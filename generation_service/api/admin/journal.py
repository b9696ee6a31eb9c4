"""Writes the audit of one API process, and sees to it that nobody can fill it."""

import contextlib
import logging
import time
from dataclasses import dataclass, field
from functools import partial

from generation_service.database import Database
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs.loops import Loop
from generation_service.switching import audit
from generation_service.switching.audit import Entry

_log = logging.getLogger(__name__)

_SWEEP_SECONDS = 5.0


@dataclass(slots=True)
class _Bound:
    """One kind of call: what was left out so far, and until when (monotonic) there is no room in the audit."""

    action: str
    outcome: str
    left_out: int = 0
    full_until: float = field(default=float("-inf"))


class Journal:
    """One a process. Entries of the same kind are bounded over all processes; what is left out is counted.

    `write` is for what must not happen unseen: it raises where the entry could not be kept. `note` is for
    what anybody can repeat at will: beyond `limit` entries a minute there is one that says how many there were.
    """

    def __init__(self, database: Database, process: str) -> None:
        self._database = database
        self._process = process
        self._bounds: dict[str, _Bound] = {}
        self._loop = Loop(name="audit", turn=self.tell_left_out, pause_seconds=_SWEEP_SECONDS)

    def start(self) -> None:
        """Start on the running event loop."""
        self._loop.start()

    async def stop(self) -> None:
        """Stop, and tell what was left out."""
        await self._loop.stop()
        with contextlib.suppress(DatabaseUnavailable):
            await self.tell_left_out(all_of_it=True)

    async def write(self, entry: Entry) -> int:
        """Add an entry; its number. Raises DatabaseUnavailable: then it is unknown whether it is there."""
        head = await self._database.write(partial(audit.record, entry=entry))
        return head.sequence

    async def note(self, entry: Entry, *, kind: str, limit: int) -> None:
        """Add an entry, or count it where there is no room for its kind. Raises DatabaseUnavailable."""
        bound = self._bounds.setdefault(kind, _Bound(entry.action, entry.outcome))
        if time.monotonic() < bound.full_until:
            bound.left_out += 1
            return
        full_seconds = await self._database.write(partial(audit.record_bounded, entry=entry, kind=kind, limit=limit))
        if full_seconds:
            bound.left_out += 1
            bound.full_until = time.monotonic() + full_seconds

    async def tell_left_out(self, *, all_of_it: bool = False) -> None:
        """Add an entry for each kind that had no room, once its minute is over."""
        for bound in list(self._bounds.values()):
            if not bound.left_out or (not all_of_it and time.monotonic() < bound.full_until):
                continue
            calls, bound.left_out = bound.left_out, 0
            told = {"calls": calls, "process": self._process}
            try:
                await self.write(
                    Entry(actor="admin@*", action=bound.action, outcome=f"{bound.outcome}_more", result=told)
                )
            except DatabaseUnavailable:
                bound.left_out += calls
                raise
