"""Leadership: one process at a time holds a named lease; what it does must be safe with two all the same."""

import time
from functools import partial

from sqlalchemy import ColumnElement, Connection, Float, bindparam, or_, select, update

from generation_service.database import Database, db_now
from generation_service.database.tables import leases
from generation_service.database.upsert import insert_if_absent

_KEPT_UNASKED = 5  # a lease is renewed after this part of its time, and not asked for before


def take_or_keep(connection: Connection, name: str, holder: str, seconds: float) -> bool:
    """Take the lease if nobody holds it, or keep it; whether `holder` has it now.

    Whoever is taking it at this moment, or is frozen at that, has it: nobody waits for a lease.
    """
    if connection.execute(_KEEP, {"wanted": name, "by": holder, "seconds": seconds}).first():
        return True
    if connection.execute(_EXISTS, {"wanted": name}).first():
        return False
    fresh = {"name": name, "holder": holder, "until": db_now(seconds), "taken_at": db_now()}
    return insert_if_absent(connection, leases, fresh)


# Asked for again and again by every process, also while nothing happens: built once.
_FREE = (
    select(leases.c.name)
    .where(leases.c.name == bindparam("wanted"))
    .where(or_(leases.c.holder == bindparam("by"), leases.c.until < db_now()))
    .with_for_update(skip_locked=True)
    .cte("free")
)
_EXISTS = select(leases.c.name).where(leases.c.name == bindparam("wanted"))
_KEEP = (
    update(leases)
    .where(leases.c.name.in_(select(_FREE.c.name)))
    .values(holder=bindparam("by"), until=db_now(bindparam("seconds", type_=Float())))
    .returning(leases.c.name)
)


def anothers(name: str, holder: str) -> ColumnElement[bool]:
    """Whether somebody else holds the lease: whoever asks again and again then need not write."""
    held = (leases.c.name == name, leases.c.holder != holder, leases.c.until >= db_now())
    return select(leases.c.name).where(*held).exists()


def give_up(connection: Connection, name: str, holder: str) -> None:
    """Let another process lead at once."""
    connection.execute(update(leases).where(leases.c.name == name, leases.c.holder == holder).values(until=db_now(-1)))


class Tenure:
    """One holder's lease over a series of short pieces of work, renewed between them as often as it needs to be."""

    def __init__(self, database: Database, *, name: str, holder: str, seconds: float) -> None:
        self._database = database
        self._take = partial(take_or_keep, name=name, holder=holder, seconds=seconds)
        self._give_up = partial(give_up, name=name, holder=holder)
        self._unasked_seconds = seconds / _KEPT_UNASKED
        self._until = float("-inf")  # monotonic: until then the lease is this holder's for certain

    async def hold(self) -> bool:
        """Take or keep the lease; whether it is held now. Raises DatabaseUnavailable."""
        asked_at = time.monotonic()
        if asked_at < self._until:
            return True
        held = await self._database.write(self._take)
        self._until = asked_at + self._unasked_seconds if held else float("-inf")
        return held

    async def end(self) -> None:
        """Let another one hold it at once. Raises DatabaseUnavailable: then it runs out."""
        self._until = float("-inf")
        await self._database.write(self._give_up)
