"""Leadership: one process at a time holds a named lease; what it does must be safe with two all the same."""

from sqlalchemy import Connection, or_, update

from generation_service.database import db_now
from generation_service.database.tables import leases
from generation_service.database.upsert import insert_if_absent


def take_or_keep(connection: Connection, name: str, holder: str, seconds: float) -> bool:
    """Take the lease if nobody holds it, or keep it; whether `holder` has it now."""
    fresh = {"name": name, "holder": holder, "until": db_now(seconds), "taken_at": db_now()}
    if insert_if_absent(connection, leases, fresh):
        return True
    free_or_mine = or_(leases.c.holder == holder, leases.c.until < db_now())
    kept = update(leases).where(leases.c.name == name, free_or_mine).values(holder=holder, until=db_now(seconds))
    return bool(connection.execute(kept).rowcount)


def give_up(connection: Connection, name: str, holder: str) -> None:
    """Let another process lead at once."""
    connection.execute(update(leases).where(leases.c.name == name, leases.c.holder == holder).values(until=db_now(-1)))
