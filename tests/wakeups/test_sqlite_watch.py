"""The watch of an SQLite file: readers are woken by what any process commits, with no Redis and no message."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator

import pytest
from sqlalchemy import Connection, delete, insert, text

from generation_service.database import Database, db_now
from generation_service.database.tables import events
from generation_service.jobs.model import JobId
from generation_service.wakeups import Fanout, SqliteWatch, open_wakeups, sqlite_watch
from tests.support.toy import Core, ToyKind, nothing

DEADLINE_SECONDS = 20.0


@pytest.fixture
def elsewhere(sqlite_url: str) -> Iterator[Database]:
    """The same database, as another process has it."""
    database = Database(sqlite_url)
    yield database
    database.close()


@pytest.fixture
async def job(elsewhere: Database) -> JobId:
    return (await Core(elsewhere, ToyKind({"only": nothing})).submit()).id


async def write(database: Database, job_id: JobId, *numbers: int) -> None:
    def unit(connection: Connection) -> None:
        rows = [{"job_id": job_id, "sequence": number, "data": {"sequence": number}} for number in numbers]
        connection.execute(insert(events).values(type="token", created_at=db_now()), rows)

    await database.write(unit)


class Watched:
    """A watch without its thread: each `look` is a turn of it, at once; what it heard."""

    def __init__(self, database: Database) -> None:
        self.heard: list[str] = []
        self.readers: set[str] = {"a reader's job"}
        self.spare = False
        self.watch = SqliteWatch(database, self._hear, lambda: self.readers, lambda: self.spare)
        self.watch.stopping.set()  # it does not wait

    def _hear(self, job_ids: Iterable[str]) -> None:
        self.heard += job_ids

    def look(self) -> list[str]:
        self.heard.clear()
        self.watch.turn()
        return list(self.heard)

    def settle(self) -> None:
        """Let the last commit be long ago."""
        self.look()
        an_hour_ago = time.time() - 3600
        os.utime(self.watch._log, (an_hour_ago, an_hour_ago))
        self.look()


@pytest.fixture
def watched(sqlite_database: Database, job: JobId) -> Watched:
    found = Watched(sqlite_database)
    assert found.look() == ["a reader's job"]  # what came before it looked is not known
    return found


@pytest.fixture
async def wakeups(sqlite_database: Database) -> AsyncIterator[Fanout]:
    """The channels of an API process on SQLite without Redis."""
    found = open_wakeups(sqlite_database, None, listens=True)
    found.start()
    yield found
    await asyncio.to_thread(found.stop)


async def test_a_reader_is_woken_by_what_another_process_commits(
    wakeups: Fanout, elsewhere: Database, job: JobId
) -> None:
    with wakeups.subscribe(job) as news:
        assert await news.wait(DEADLINE_SECONDS)  # the watch has begun
        for number in range(2, 6):
            await write(elsewhere, job, number)

            assert await news.wait(DEADLINE_SECONDS)


async def test_each_job_with_new_events_is_told_of_once(watched: Watched, elsewhere: Database, job: JobId) -> None:
    await write(elsewhere, job, 2, 3)

    assert watched.look() == [job]
    assert watched.look() == []


async def test_a_commit_that_is_on_its_way_when_the_log_is_written_is_seen(
    watched: Watched, elsewhere: Database, job: JobId
) -> None:
    """Given a log whose time was seen before its commit could be: it is looked for again."""
    log = watched.watch._log
    await write(elsewhere, job, 2)
    assert watched.look() == [job]
    seen = log.stat()

    await write(elsewhere, job, 3)
    os.utime(log, ns=(seen.st_atime_ns, seen.st_mtime_ns))

    assert watched.look() == [job]


async def test_nothing_is_asked_of_the_database_while_nobody_commits(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.settle()
    monkeypatch.setattr(sqlite_watch, "_since", pytest.fail)

    for _ in range(3):
        assert watched.look() == []


@pytest.mark.parametrize(
    "rest", [lambda watched: watched.readers.clear(), lambda watched: setattr(watched, "spare", True)]
)
async def test_it_rests_while_it_is_not_needed_and_then_begins_anew(
    watched: Watched, elsewhere: Database, job: JobId, rest: Callable[[Watched], None]
) -> None:
    rest(watched)
    await write(elsewhere, job, 2)
    assert watched.look() == []

    watched.readers, watched.spare = {"a reader's job"}, False

    assert watched.look() == ["a reader's job"]  # what came meanwhile: whoever reads looks for himself


async def test_rows_that_were_numbered_anew_wake_everybody(watched: Watched, elsewhere: Database, job: JobId) -> None:
    """VACUUM, and a prune of the last rows, make numbers smaller: news is then not known by them."""
    await write(elsewhere, job, *range(2, 10))
    assert watched.look() == [job]
    await elsewhere.write(lambda connection: connection.execute(delete(events).where(events.c.sequence > 3)))

    assert watched.look() == ["a reader's job"]
    await write(elsewhere, job, 4)
    assert watched.look() == [job]


async def test_a_log_that_is_gone_is_no_news(watched: Watched) -> None:
    watched.settle()
    watched.watch._log.unlink()

    assert watched.look() == []


def test_it_ends_with_its_process_having_written_nothing(sqlite_database: Database) -> None:
    wakeups = open_wakeups(sqlite_database, None, listens=True)
    wakeups.start()
    wakeups.wake(["a"])

    wakeups.stop()

    assert sqlite_database.read_now(lambda connection: connection.execute(text("SELECT 1")).scalar_one()) == 1
