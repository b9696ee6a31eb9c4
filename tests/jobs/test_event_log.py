"""Reading event logs: each reader's place is answered in order and whole, however many ask in one query."""

from collections.abc import Mapping, Sequence

import pytest
from sqlalchemy import Connection, insert

from generation_service.database import Database, db_now
from generation_service.database.tables import events
from generation_service.jobs import event_log
from generation_service.jobs.event_log import EventLogs, LogPage, Place
from generation_service.jobs.model import JobId
from tests.support.toy import Core, ToyKind, nothing

NOBODY = JobId("0199aaaa-0000-7000-8000-000000000001")


@pytest.fixture
async def jobs(database: Database) -> Sequence[JobId]:
    """Three jobs, each with the one event of its acceptance."""
    core = Core(database, ToyKind({"only": nothing}))
    return [(await core.submit()).id for _ in range(3)]


async def write(database: Database, job_id: JobId, count: int, first: int = 2) -> None:
    def unit(connection: Connection) -> None:
        numbers = range(first, first + count)
        rows = [{"job_id": job_id, "sequence": one, "data": {"sequence": one, "text": "한 줄"}} for one in numbers]
        connection.execute(insert(events).values(type="token", created_at=db_now()), rows)

    await database.write(unit)


def numbers(pages: Mapping[Place, LogPage]) -> dict[Place, list[int]]:
    return {place: [event.sequence for event in page.events] for place, page in pages.items()}


async def test_each_place_is_answered_with_what_is_behind_it(database: Database, jobs: Sequence[JobId]) -> None:
    one, other, quiet = jobs
    await write(database, one, 3)
    await write(database, other, 1)
    places = [(one, 1), (other, 0), (quiet, 1), (one, 3), (NOBODY, 0)]

    pages = await EventLogs(database).read(places)

    assert numbers(pages) == dict(zip(places, [[2, 3, 4], [1, 2], [], [4], []], strict=True))
    assert all(page.whole for page in pages.values())
    last = pages[one, 3].events[0]
    assert (last.job_id, last.type, last.data) == (one, "token", {"sequence": 4, "text": "한 줄"})


async def test_a_long_log_is_read_in_pages(database: Database, jobs: Sequence[JobId]) -> None:
    await write(database, jobs[0], 4_500)
    read: list[int] = [0]
    whole = False
    while not whole:
        page = (await EventLogs(database).read([(jobs[0], read[-1])]))[jobs[0], read[-1]]
        read += [event.sequence for event in page.events]
        whole = page.whole

    assert read == list(range(4_502))


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 7, 50])
async def test_however_little_a_query_reads_all_is_read_once_and_in_order(
    database: Database, jobs: Sequence[JobId], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """What one query does not answer, or not whole, is asked for again: nothing is skipped on the way."""
    monkeypatch.setattr(event_log, "_MOST_EVENTS", most)
    monkeypatch.setattr(event_log, "_FEWEST_EACH", 2)
    await write(database, jobs[0], 5)
    await write(database, jobs[2], 8)
    at, left = dict.fromkeys(jobs, 0), set(jobs)
    read: dict[JobId, list[int]] = {job_id: [] for job_id in jobs}
    queries = 0
    while left:
        queries += 1
        places = [(job_id, at[job_id]) for job_id in sorted(left)]
        pages = await EventLogs(database).read(places)
        assert places[0] in pages
        for (job_id, _), page in pages.items():
            read[job_id] += [event.sequence for event in page.events]
            at[job_id] = read[job_id][-1] if read[job_id] else 0
            if page.whole:
                left.discard(job_id)

    assert list(read.values()) == [list(range(1, 7)), [1], list(range(1, 10))]
    assert queries <= 30


async def test_a_thousand_places_are_one_query(database: Database, jobs: Sequence[JobId]) -> None:
    await write(database, jobs[0], 1_000)

    pages = await EventLogs(database).read([(jobs[0], after) for after in range(1, 1_001)])

    assert pages[jobs[0], 1].events[0].sequence == 2
    assert all(page.events[0].sequence == after + 1 for (_, after), page in pages.items())
