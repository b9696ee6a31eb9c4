"""Tickets for event streams: used once, within a minute, by a browser that cannot send a header."""

import secrets
from datetime import datetime
from hashlib import sha256

from sqlalchemy import Connection, delete, insert

from generation_service.database import Database, db_now
from generation_service.database.tables import stream_tickets

TICKET_SECONDS = 60


async def issue(database: Database, user_id: str) -> tuple[str, datetime]:
    """Make a ticket for `user_id`: what the caller gets, and until when it can be used. Only its digest is stored."""
    ticket = secrets.token_urlsafe(32)

    def unit(connection: Connection) -> datetime:
        connection.execute(delete(stream_tickets).where(stream_tickets.c.expires_at < db_now()))
        row = {"digest": _digest(ticket), "user_id": user_id, "expires_at": db_now(TICKET_SECONDS)}
        statement = insert(stream_tickets).values(**row).returning(stream_tickets.c.expires_at)
        until: datetime = connection.execute(statement).scalar_one()
        return until

    return ticket, await database.write(unit)


async def redeem(database: Database, ticket: str) -> str | None:
    """Use a ticket up: its user; None where it is unknown, used or too old."""

    def unit(connection: Connection) -> str | None:
        found = (
            delete(stream_tickets)
            .where(stream_tickets.c.digest == _digest(ticket), stream_tickets.c.expires_at >= db_now())
            .returning(stream_tickets.c.user_id)
        )
        return connection.execute(found).scalar_one_or_none()

    return await database.write(unit)


def _digest(ticket: str) -> str:
    return sha256(ticket.encode("utf-8", "replace")).hexdigest()
