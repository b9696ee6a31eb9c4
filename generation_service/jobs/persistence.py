"""Commits of a run: made again while the database is away, never computed again, until they are fenced."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.errors import DatabaseClosed, DatabaseUnavailable

_log = logging.getLogger(__name__)

T = TypeVar("T")

_PAUSES_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0)  # between tries; the last one repeats


async def until_available(commit: Callable[[], Awaitable[T]]) -> T:
    """Await `commit()`, again and again for as long as it raises DatabaseUnavailable (DatabaseClosed is final)."""
    tries = 0
    while True:
        try:
            return await commit()
        except DatabaseClosed:
            raise
        except DatabaseUnavailable as error:
            _log.warning("A commit is tried again: %s", error, extra={"action": "commit_retried"})
            await asyncio.sleep(_PAUSES_SECONDS[min(tries, len(_PAUSES_SECONDS) - 1)])
            tries += 1


class Persistence:
    """Writes through outages of the database, each write in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def persist(self, unit: Callable[[Connection], T]) -> T:
        """Commit `unit`, however long it takes. Its fence check ends the wait: raises Fenced."""
        return await until_available(lambda: self._database.write(unit))
