"""Sweeping: bytes that nobody owns any more go for certain, whatever the store and the processes do."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, update

from generation_service.database import Database, db_now
from generation_service.database.tables import doomed_objects
from generation_service.documents import ObjectSweeper
from generation_service.documents.doomed import doom, spare
from generation_service.errors import Deferred, TransientError
from tests.documents import files
from tests.documents.conftest import Library

SCRIPT = files.SCRIPT.encode()


def doomed(database: Database) -> list[tuple[str, int]]:
    rows = select(doomed_objects.c.prefix, doomed_objects.c.rounds)
    return [tuple(row) for row in database.read_now(lambda connection: connection.execute(rows).all())]


def due_now(database: Database) -> None:
    database.write_now(lambda connection: connection.execute(update(doomed_objects).values(due_at=db_now(-1))))


async def test_bytes_are_deleted_once_the_store_is_back(
    library: Library, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    document, _ = await library.read(SCRIPT)
    sweeper = ObjectSweeper(database, library.objects)

    async def away(_prefix: str) -> int:
        raise TransientError("storage_unavailable", "away")

    with monkeypatch.context() as patch:
        patch.setattr(library.objects, "delete_below", away)
        gone = await library.documents.remove(document.id, "ana")
        await sweeper.sweep()
        assert gone.objects == 0
        assert len(library.stored()) == 2
    await sweeper.sweep()

    assert library.stored() == []


async def test_what_an_overtaken_run_writes_afterwards_is_deleted_too(library: Library, database: Database) -> None:
    document, _ = await library.read(SCRIPT)
    sweeper = ObjectSweeper(database, library.objects)
    await library.documents.remove(document.id, "ana")
    late = document.object_key.replace("/source", "/preprocessed-late-1.json")
    await library.objects.put_bytes(late, b"{}")

    await sweeper.sweep()
    assert library.stored() == [late]  # the second round is an hour later
    due_now(database)
    await asyncio.gather(sweeper.sweep(), sweeper.sweep())

    assert library.stored() == []
    assert doomed(database) == []


async def test_two_sweepers_at_once_count_one_round(library: Library, database: Database) -> None:
    database.write_now(lambda connection: doom(connection, "projects/p/documents/d"))
    sweepers = [ObjectSweeper(database, library.objects) for _ in range(2)]

    await asyncio.gather(*(sweeper.sweep() for sweeper in sweepers))

    assert doomed(database) == [("projects/p/documents/d", 1)]


async def test_what_is_due_can_no_longer_be_spared(database: Database) -> None:
    def unit(connection: Any) -> list[bool]:
        doom(connection, "late", 0)
        doom(connection, "too close", 30)  # it may be due before this transaction has ended
        doom(connection, "early", 120)
        return [spare(connection, prefix) for prefix in ("late", "too close", "early", "unknown")]

    assert database.write_now(unit) == [False, False, True, False]


async def test_a_store_that_does_not_answer_is_asked_once_a_turn(
    library: Library, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def away(prefix: str) -> int:
        asked.append(prefix)
        raise TransientError("storage_unavailable", "away")

    for number in range(5):
        database.write_now(lambda connection, number=number: doom(connection, f"projects/p/documents/{number}"))
    monkeypatch.setattr(library.objects, "delete_below", away)
    await ObjectSweeper(database, library.objects).sweep()

    assert len(asked) == 1


async def test_one_that_can_never_be_deleted_does_not_keep_the_others(
    library: Library, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete_below = library.objects.delete_below

    async def refused_for_one(prefix: str) -> int:
        if prefix == "projects/p/documents/0":
            raise Deferred("storage_refused", "away")
        return await delete_below(prefix)

    for number in range(5):
        database.write_now(lambda connection, number=number: doom(connection, f"projects/p/documents/{number}"))
    due_now(database)
    monkeypatch.setattr(library.objects, "delete_below", refused_for_one)
    sweeper = ObjectSweeper(database, library.objects)
    for _ in range(200):
        await sweeper.sweep()

    assert sorted(rounds for _, rounds in doomed(database)) == [0, 1, 1, 1, 1]


async def test_a_sweeper_that_is_to_stop_does_not_finish_its_turn(
    library: Library, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer, begun = [], asyncio.Event(), asyncio.Event()

    async def slow(prefix: str) -> int:
        asked.append(prefix)
        begun.set()
        await answer.wait()
        return 0

    for number in range(5):
        database.write_now(lambda connection, number=number: doom(connection, f"projects/p/documents/{number}"))
    monkeypatch.setattr(library.objects, "delete_below", slow)
    sweeper = ObjectSweeper(database, library.objects)
    sweeper.start()
    await asyncio.wait_for(begun.wait(), 20)
    stopping = asyncio.create_task(sweeper.stop())
    await asyncio.sleep(0)
    answer.set()
    await asyncio.wait_for(stopping, 20)

    assert len(asked) == 1


async def test_bytes_of_a_process_that_died_before_the_commit_are_swept_away(
    library: Library, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("generation_service.documents.accepting.rows.find_same", killed)
    with pytest.raises(KeyboardInterrupt):
        await library.upload(SCRIPT)
    assert len(library.stored()) == 1

    due_now(database)
    await ObjectSweeper(database, library.objects).sweep()

    assert library.stored() == []
