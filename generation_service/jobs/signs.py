"""Signs: what loops of a process look for again and again, all of it asked for in one statement."""

import asyncio
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from generation_service.database import Database
from generation_service.database.operations import worker_mode
from generation_service.database.tables import jobs
from generation_service.jobs import claims
from generation_service.jobs.model import Backend
from generation_service.jobs.routing import Mode, current_mode


class Signs:
    """The signs of one process. Whoever looks at the same moment is answered by one transaction.

    A sign is a cheap expression that is read with all others: a loop looks at it first, and does what costs
    more where there is something to do. On one event loop.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._columns: list[ColumnElement[Any]] = []
        self._statement: Select[Any] = select()
        self._next: asyncio.Task[Row[Any]] | None = None  # a look that has not begun: who comes now is part of it

    def add(self, expression: ColumnElement[Any]) -> "Sign":
        """Look for this, too."""
        place = len(self._columns)
        self._columns.append(expression.label(f"sign_{place}"))
        self._statement = select(*self._columns)  # built once: SQLAlchemy and the server know it from then on
        return Sign(self, place)

    async def look(self) -> Row[Any]:
        """Everything as it is now, in the order in which it was added. Raises DatabaseUnavailable."""
        if self._next is None or self._next.done():
            self._next = asyncio.create_task(self._look(), name="signs")
        return await asyncio.shield(self._next)  # whoever is cancelled spoils nobody's look

    async def _look(self) -> Row[Any]:
        await asyncio.sleep(0)  # once everybody whose pause is over has come
        self._next = None
        return await self._database.read(self._read)

    def _read(self, connection: Connection) -> Row[Any]:
        if connection.dialect.name == "postgresql":  # one statement needs no transaction: one round trip, not three
            connection.execution_options(isolation_level="AUTOCOMMIT")
        return connection.execute(self._statement).one()


class Sign:
    """One thing that is looked for."""

    def __init__(self, signs: Signs, place: int) -> None:
        self._signs = signs
        self.place = place

    async def look(self) -> Any:
        """Its value now. Raises DatabaseUnavailable."""
        return (await self._signs.look())[self.place]


def waits_for(backend: Backend) -> ColumnElement[bool]:
    """Whether a job may be there for `backend` to claim."""
    waiting = (jobs.c.status == "pending", jobs.c.backend == backend, claims.is_due(), ~claims.is_paused())
    return select(jobs.c.id).where(*waiting).exists()


class ModeSign:
    """The mode in force, read in full only where it is another than at the last look."""

    def __init__(self, database: Database, signs: Signs) -> None:
        self._database = database
        newest = select(func.max(worker_mode.c.epoch)).scalar_subquery()
        # What a mode takes along is the one thing of it that may still be changed.
        carry = select(worker_mode.c.carry).where(worker_mode.c.epoch == newest).scalar_subquery()
        self._signs = signs
        self._epoch, self._carry = signs.add(newest), signs.add(carry)
        self._mode: Mode | None = None

    async def look(self) -> Mode | None:
        """The mode now; None before anyone has said anything. Raises DatabaseUnavailable."""
        row = await self._signs.look()
        epoch, carry = row[self._epoch.place], row[self._carry.place]
        known = self._mode
        if known is None or (known.epoch, known.carry) != (epoch, carry):
            known = self._mode = None if epoch is None else await self._database.read(current_mode)
        return known
