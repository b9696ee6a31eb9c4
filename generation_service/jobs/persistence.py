"""Commits of a run: made again while the database is away, never computed again, until they are fenced."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.errors import DatabaseUnavailable

_log = logging.getLogger(__name__)

T = TypeVar("T")

_PAUSES_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0)  # between tries; the last one repeats


class Persistence:
    """Writes through outages of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def persist(self, unit: Callable[[Connection], T]) -> T:
        """Commit `unit`, however long it takes. Its fence check ends the wait: raises Fenced."""
        tries = 0
        while True:
            try:
                return await self._database.write(unit)
            except DatabaseUnavailable as error:
                _log.warning("A commit is tried again: %s", error, extra={"action": "commit_retried"})
                await asyncio.sleep(_PAUSES_SECONDS[min(tries, len(_PAUSES_SECONDS) - 1)])
                tries += 1

    async def persist_once(self, unit: Callable[[Connection], None], landed: Callable[[Connection], bool]) -> None:
        """Commit `unit` once: after a COMMIT whose answer was lost, `landed` looks up the run's own row."""
        tried = False

        def once(connection: Connection) -> None:
            nonlocal tried
            if tried and landed(connection):
                return
            tried = True
            unit(connection)

        await _to_its_end(self.persist(once))


async def _to_its_end(commit: Coroutine[Any, Any, None]) -> None:
    """Await `commit`; a cancellation waits for it, since a thread commits on whether it is awaited or not."""
    task = asyncio.create_task(commit)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()  # raises Fenced: then nothing was committed
        raise
