"""How much one user may keep: checked in the transaction that adds to it."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text

from generation_service.database.tables import documents
from generation_service.errors import Refused
from generation_service.settings import MIB, Settings

_USERS_LOCK = 4_771_205  # first half of an advisory lock whose second half is the user


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The most that one user may keep, in documents and in bytes."""

    documents: int
    bytes: int

    @classmethod
    def of(cls, settings: Settings) -> "Quota":
        return cls(documents=settings.max_user_documents, bytes=settings.max_user_bytes)


def check_quota(connection: Connection, user_id: str, files: int, size: int, quota: Quota) -> None:
    """Raise Refused `storage_quota_exceeded` (413) where so many more files, of `size` bytes together, are too much.

    Called before they are inserted, and after the rows of their jobs: everybody locks in this order. Uploads of
    one user take turns from here on, so that two cannot pass a limit together.
    """
    if connection.dialect.name == "postgresql":
        lock = {"lock": _USERS_LOCK, "user": user_id}
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock, hashtext(:user))"), lock)
    if _share(connection, user_id, files, size, quota) > 1:
        params = {"documents": quota.documents, "megabytes": quota.bytes // MIB}
        raise Refused("storage_quota_exceeded", 413, params=params)


def _share(connection: Connection, user_id: str, files: int, size: int, quota: Quota) -> float:
    """How much of the quota would be used, the limit that is nearer: 1 is all of it."""
    used = select(func.count(), func.coalesce(func.sum(documents.c.file_size), 0)).where(documents.c.user_id == user_id)
    kept, kept_bytes = (int(value) for value in connection.execute(used).one())
    return max((kept + files) / quota.documents, (kept_bytes + size) / quota.bytes)
