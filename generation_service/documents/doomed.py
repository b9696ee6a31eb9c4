"""Doomed objects: bytes without a row, or whose row is gone, are deleted sooner or later, whoever dies when."""

import logging
import random
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from generation_service.database import Database, db_now
from generation_service.database.tables import doomed_objects
from generation_service.database.upsert import upsert
from generation_service.errors import PermanentError, TransientError
from generation_service.jobs.loops import Loop
from generation_service.objects import ObjectStore

_log = logging.getLogger(__name__)

UNCLAIMED_SECONDS = 24 * 3600.0
"""How long bytes may wait for the row that they are stored for; no upload takes so long."""
_PAUSE_SECONDS = 10.0
_ROUNDS = 2  # a run that had been fenced may have been writing during the first
_BETWEEN_ROUNDS_SECONDS = 3600.0
_AT_ONCE = 100
_TOO_CLOSE_SECONDS = 60.0  # before it is due: whoever spares it still has to commit


def doom(connection: Connection, prefix: str, after_seconds: float = 0.0) -> None:
    """Have everything below `prefix` deleted after so long, unless it is spared before."""
    fresh = {"prefix": prefix, "rounds": 0, "due_at": db_now(after_seconds)}
    statement = upsert(connection, doomed_objects).values(fresh)
    connection.execute(statement.on_conflict_do_update(index_elements=["prefix"], set_=fresh))


def spare(connection: Connection, prefix: str) -> bool:
    """Keep what is below `prefix` after all; False where it is too late for that."""
    mine = (doomed_objects.c.prefix == prefix) & (doomed_objects.c.due_at > db_now(_TOO_CLOSE_SECONDS))
    return connection.execute(delete(doomed_objects).where(mine)).rowcount > 0


class ObjectSweeper:
    """Deletes doomed objects when they are due; any number of processes may do so at once."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self._database = database
        self._objects = objects
        self._loop = Loop(name="sweeper", turn=self.sweep, pause_seconds=_PAUSE_SECONDS)

    def start(self) -> None:
        """Start on the running event loop."""
        self._loop.start()

    async def stop(self) -> None:
        """Let the turn that runs come to its end, and stop."""
        await self._loop.stop()

    async def sweep(self) -> None:
        """Take one round with each prefix that is due, until the store fails or the process is to stop."""
        due = select(doomed_objects.c.prefix).where(doomed_objects.c.due_at <= db_now())
        due = due.order_by(doomed_objects.c.due_at).limit(_AT_ONCE)
        prefixes = await self._database.read(lambda connection: list(connection.execute(due).scalars()))
        random.shuffle(prefixes)  # so that one which can never be deleted does not keep the others waiting for ever
        for prefix in prefixes:
            if self._loop.stopping or await self._round(prefix) is None:
                return

    async def delete(self, prefix: str) -> int:
        """Take a round with one prefix that is due; how many objects that deleted.

        Where the store does not answer the row stays as it is, so the next turn tries again.
        """
        return await self._round(prefix) or 0

    async def _round(self, prefix: str) -> int | None:
        """How many objects a round has deleted, 0 where it was not due; None where the store failed."""
        # Due now, not when it was looked up: somebody else may have taken this round, and the next is an hour away.
        mine = (doomed_objects.c.prefix == prefix) & (doomed_objects.c.due_at <= db_now())
        seen = await self._database.read(
            lambda connection: connection.execute(select(doomed_objects).where(mine)).one_or_none()
        )
        if seen is None:
            return 0
        try:
            deleted = await self._objects.delete_below(prefix)
        except (TransientError, PermanentError) as error:
            _log.warning("Objects cannot be deleted now: %s", error, extra={"action": "sweep_failed"})
            return None
        await self._database.write(lambda connection: _advance(connection, prefix, seen.rounds, seen.due_at))
        return deleted


def _advance(connection: Connection, prefix: str, rounds: int, due_at: datetime) -> None:
    """Count a round, once for all who took it at the same time; after the last one the row goes."""
    as_seen = (
        doomed_objects.c.prefix == prefix,
        doomed_objects.c.rounds == rounds,
        doomed_objects.c.due_at == due_at,
    )
    if rounds + 1 >= _ROUNDS:
        connection.execute(delete(doomed_objects).where(*as_seen))
        return
    later = {"rounds": rounds + 1, "due_at": db_now(_BETWEEN_ROUNDS_SECONDS)}
    connection.execute(update(doomed_objects).where(*as_seen).values(**later))
