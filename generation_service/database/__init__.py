"""Tables, units of work and migrations: all that knows how things are stored."""

from generation_service.database.engine import Database
from generation_service.database.types import UtcDateTime, db_now

__all__ = ["Database", "UtcDateTime", "db_now"]
