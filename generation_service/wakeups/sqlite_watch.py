"""Wakeups from the file of an SQLite database, for readers in other processes where Redis tells nobody."""

import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from sqlalchemy import Connection, text

from generation_service.database import Database
from generation_service.errors import DatabaseUnavailable
from generation_service.wakeups.threads import TURN_SECONDS, ChannelThread, Hear

_LOOK_SECONDS = 0.02
# The log's time is when it was written; to be seen, the commit has to reach the disk first, which may take this long.
_SETTLED_SECONDS = 1.0

# Rows are numbered as they come, whichever job an event is of.
_LAST_ROW = text("SELECT coalesce(max(rowid), 0) FROM events")
_NEWS = text("SELECT DISTINCT job_id FROM events WHERE rowid > :row")


class SqliteWatch(ChannelThread):
    """Sees by the time of the write-ahead log that somebody has committed, and asks which jobs have events.

    Nobody sends anything. `watched` are the jobs that have readers; while there are none, or while `spare` says
    that another channel listens, it rests.
    """

    def __init__(
        self, database: Database, hear: Hear, watched: Callable[[], Collection[str]], spare: Callable[[], bool]
    ) -> None:
        super().__init__("wakeups-sqlite-watch", (DatabaseUnavailable, OSError))
        self._database, self._hear, self._watched, self._spare = database, hear, watched, spare
        self._log = Path(f"{database.url.database}-wal")
        self._seen = 0  # the log's time, in nanoseconds
        self._row: int | None = None  # the last row of events that was told of; None: not known

    def wake(self, job_ids: Iterable[str]) -> None:
        """Nothing to do: the others see the commit."""

    def turn(self) -> None:
        """Look whether somebody has committed."""
        if self._spare() or not self._watched():
            self._row = None
            self.stopping.wait(TURN_SECONDS)
            return
        if self._row is None or self._has_grown():
            self._hear(self._news())
        self.stopping.wait(_LOOK_SECONDS)

    def disconnect(self) -> None:
        """Begin anew."""
        self._row = None

    def _has_grown(self) -> bool:
        """Whether there may have been a commit since the last look."""
        try:
            written = self._log.stat().st_mtime_ns
        except FileNotFoundError:  # whoever closed the database last takes it along
            return False
        seen, self._seen = self._seen, written
        return written != seen or time.time() - written / 1e9 < _SETTLED_SECONDS

    def _news(self) -> Iterable[str]:
        """The jobs with events since the last row; all that are watched where that is not known."""
        before = self._row
        self._row, news = self._database.read_now(lambda connection: _since(connection, before))
        return self._watched() if news is None else news


def _since(connection: Connection, row: int | None) -> tuple[int, Collection[str] | None]:
    """The last row, and the jobs of those behind `row`; None where these cannot be told (VACUUM numbers anew)."""
    last: int = connection.execute(_LAST_ROW).scalar_one()
    if row is None or last < row:
        return last, None
    return last, connection.execute(_NEWS, {"row": row}).scalars().all() if last > row else ()
