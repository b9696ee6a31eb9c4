"""The mode in force: a row that submission reads in its own transaction."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from generation_service.database.tables import worker_mode
from generation_service.jobs.model import Backend


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """Which backend jobs get, since when, and who said so. `enabled` is the RQ part's master switch."""

    epoch: int
    backend: Backend
    enabled: bool
    carry: str
    since: datetime
    said_by: str
    reason: str
    source: str

    @property
    def target(self) -> Backend:
        """The backend that a job gets now."""
        return self.backend if self.enabled else "background_tasks"


def current_mode(connection: Connection) -> Mode | None:
    """The mode with the highest epoch; None before anyone has said anything."""
    row = connection.execute(select(worker_mode).order_by(worker_mode.c.epoch.desc()).limit(1)).one_or_none()
    return Mode(**row._mapping) if row else None  # noqa: SLF001 - SQLAlchemy's public name for it


def target_backend(connection: Connection) -> Backend:
    """Where a job that is accepted in this transaction runs."""
    mode = current_mode(connection)
    return mode.target if mode else "background_tasks"
