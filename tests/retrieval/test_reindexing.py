"""Another model: an index is built beside the one in use, resumed where it was cut, and takes its place at once."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import func, select

from generation_service.database import Database
from generation_service.database.tables import chunk_vectors, index_generations
from generation_service.embeddings.server import EmbeddingServer
from generation_service.jobs.model import Job
from generation_service.jobs.submission import Admission
from generation_service.retrieval import (
    REINDEX,
    Indexer,
    NewChunk,
    Passage,
    ReindexKind,
    Retriever,
    add_chunks,
    generations,
    remove_chunks,
    request_reindex,
)
from generation_service.retrieval.questions import Questions
from tests.retrieval.conftest import ELSEWHERE, FORMER, LATTER
from tests.retrieval.test_finding import PASSAGES, chunk
from tests.support.embeddings import EmbeddingServerDouble, Fault
from tests.support.toy import Core

ADMISSION = Admission(max_live=100, max_live_per_user=100, max_attempts=4)
CHUNKS = [chunk(name, words) for name, words in PASSAGES.items()]


async def index(database: Database, embedder: EmbeddingServer, *chunks: NewChunk) -> None:
    prepared = await Indexer(database, embedder).prepare(chunks or CHUNKS, lambda _: None)
    await database.write(prepared.write)


def ask(database: Database, model: str, *, anew: bool = False) -> Job | None:
    return database.write_now(lambda connection: request_reindex(connection, model, ADMISSION, anew=anew))


def state(database: Database) -> dict[str, tuple[str, int]]:
    """Status and number of vectors of each generation, by its model."""
    count = select(func.count()).select_from(chunk_vectors)
    vectors = count.where(chunk_vectors.c.generation_id == index_generations.c.id).scalar_subquery()
    wanted = select(index_generations.c.model, index_generations.c.status, vectors)
    return database.read_now(lambda connection: {row[0]: (row[1], row[2]) for row in connection.execute(wanted)})


async def found(database: Database, embedder: EmbeddingServer) -> list[Passage]:
    return await Retriever(database, questions=Questions(embedder, pause_seconds=0)).find("p", "쀍 정전", limit=3)


async def test_another_model_takes_over_and_the_former_is_forgotten(
    database: Database, client: Callable[[str], EmbeddingServer]
) -> None:
    # Given an index of one model, and a service that starts with another
    await index(database, client(FORMER))
    job = ask(database, LATTER)
    assert state(database) == {FORMER: ("active", 12), LATTER: ("building", 0)}
    assert len(await found(database, client(LATTER))) == 3

    # When its job has run
    ended = await Core(database, ReindexKind(database, client(LATTER))).run(job)

    # Then the other is in use, nothing is left of the first, and its cost is the job's
    assert ended.result == {"vectors": 12, "activated": True, "finished": True}
    assert state(database) == {LATTER: ("active", 12)}
    assert len(await found(database, client(LATTER))) == 3
    assert ended.input_tokens == sum(len(words) for words in PASSAGES.values())


async def test_a_service_that_starts_with_the_same_model_asks_for_nothing(
    database: Database, client: Callable[[str], EmbeddingServer]
) -> None:
    await index(database, client(FORMER))

    assert ask(database, FORMER) is None
    assert [ask(database, LATTER) is None for _ in range(3)] == [False, True, True]
    assert ask(database, FORMER) is None
    assert {model: status for model, (status, _) in state(database).items()} == {FORMER: "active", LATTER: "retired"}


async def test_processes_that_start_at_once_ask_for_one_job(
    database: Database, client: Callable[[str], EmbeddingServer]
) -> None:
    await index(database, client(FORMER))

    asked = await asyncio.gather(
        *(database.write(lambda connection: request_reindex(connection, LATTER, ADMISSION)) for _ in range(8))
    )

    assert sum(job is not None for job in asked) == 1


async def test_an_index_of_words_gets_its_vectors_once_there_is_a_model(
    database: Database, client: Callable[[str], EmbeddingServer]
) -> None:
    database.write_now(lambda connection: add_chunks(connection, CHUNKS))
    job = ask(database, FORMER)

    ended = await Core(database, ReindexKind(database, client(FORMER))).run(job)

    assert ended.result == {"vectors": 12, "activated": False, "finished": True}
    assert state(database) == {FORMER: ("active", 12)}


async def test_searches_are_answered_by_the_former_model_until_the_other_is_whole(
    database: Database, client: Callable[[str], EmbeddingServer], served: EmbeddingServerDouble
) -> None:
    # Given a job that is held in the middle
    await index(database, client(FORMER))
    before = await found(database, client(FORMER))
    core = Core(database, ReindexKind(database, client(LATTER)))
    job = ask(database, LATTER)
    served.hold()
    running = asyncio.create_task(core.run(job))
    await served.calls_at_once(1)

    # When a document comes meanwhile, and a search is made
    coming = asyncio.create_task(index(database, client(ELSEWHERE), chunk("새것", "새로 온 대본이다")))
    asking = asyncio.create_task(found(database, client(ELSEWHERE)))
    await served.calls_at_once(3)
    served.release()
    assert await asking == before
    await asyncio.gather(running, coming)

    # Then nothing lacks its vector once the other is in use
    assert state(database) == {LATTER: ("active", 13)}


async def test_what_comes_while_the_index_is_built_is_written_for_both(
    database: Database, client: Callable[[str], EmbeddingServer]
) -> None:
    await index(database, client(FORMER))
    ask(database, LATTER)

    await index(database, client(LATTER), chunk("새것", "새로 온 대본이다"))

    assert state(database) == {FORMER: ("active", 13), LATTER: ("building", 1)}


async def test_a_former_model_that_is_served_no_more_stops_neither_indexing_nor_searching(
    database: Database, client: Callable[[str], EmbeddingServer], served: EmbeddingServerDouble
) -> None:
    await index(database, client(FORMER))
    job = ask(database, LATTER)
    served.unknown.add(FORMER)

    await index(database, client(LATTER), chunk("새것", "새로 온 대본이다"))
    by_words = await found(database, client(LATTER))
    await Core(database, ReindexKind(database, client(LATTER))).run(job)

    assert [one.source_id for one in by_words] == ["극장"]
    assert state(database) == {LATTER: ("active", 13)}
    assert len(await found(database, client(LATTER))) == 3


async def test_what_was_cut_goes_on_where_it_was(
    database: Database, client: Callable[[str], EmbeddingServer], served: EmbeddingServerDouble
) -> None:
    # Given a job whose third call fails, so that two batches of four are stored
    await index(database, client(FORMER))
    core = Core(database, ReindexKind(database, client(LATTER)))
    job = ask(database, LATTER)
    calls = len(served.calls)
    with replaced_call(served, calls + 2):
        waiting = await core.run(job)
    assert waiting.status == "pending"
    assert state(database) == {FORMER: ("active", 12), LATTER: ("building", 8)}

    # When it runs again
    ended = await core.run(waiting)

    # Then only the rest was asked for
    assert ended.result == {"vectors": 4, "activated": True, "finished": True}
    assert len(served.calls) == calls + 4


async def test_two_jobs_at_once_do_not_pay_twice(
    database: Database, client: Callable[[str], EmbeddingServer], served: EmbeddingServerDouble
) -> None:
    await index(database, client(FORMER))
    core = Core(database, ReindexKind(database, client(LATTER)))
    first, second = ask(database, LATTER), await core.submit(kind=REINDEX)
    calls = len(served.calls)
    served.hold()
    running = asyncio.create_task(core.run(first))
    await served.calls_at_once(1)

    skipped = (await core.run(second), await core.jobs.steps(second.id))
    served.release()
    await running

    assert skipped[0].status == "completed"
    assert [step.reason for step in skipped[1]] == ["another_reindexes"]
    assert len(served.calls) == calls + 3


async def test_an_index_is_not_put_into_use_while_a_chunk_lacks_its_vector(
    database: Database, client: Callable[[str], EmbeddingServer]
) -> None:
    await index(database, client(FORMER))
    ask(database, LATTER)
    building = database.read_now(generations.in_use)[1]

    assert building.model == LATTER
    assert database.write_now(lambda connection: generations.activate(connection, building.id)) is False
    assert state(database)[FORMER] == ("active", 12)


async def test_the_same_model_is_built_anew_where_it_is_asked_for(
    database: Database, client: Callable[[str], EmbeddingServer], served: EmbeddingServerDouble
) -> None:
    await index(database, client(FORMER))
    former = database.read_now(generations.active).id

    job = ask(database, FORMER, anew=True)
    await Core(database, ReindexKind(database, client(FORMER))).run(job)

    assert state(database) == {FORMER: ("active", 12)}
    assert database.read_now(generations.active).id != former


async def test_what_is_prepared_for_a_generation_that_is_gone_is_written_without(
    database: Database, client: Callable[[str], EmbeddingServer]
) -> None:
    # Given a document that was prepared before another model took over
    await index(database, client(FORMER))
    prepared = await Indexer(database, client(FORMER)).prepare([chunk("새것", "새로 온 대본이다")], lambda _: None)
    core = Core(database, ReindexKind(database, client(LATTER)))
    await core.run(ask(database, LATTER))

    # When it is written, then it is found by its words, and the next look gives it its vector
    assert await database.write(prepared.write) == 1
    assert state(database) == {LATTER: ("active", 12)}
    await core.run(await core.submit(kind=REINDEX))
    assert state(database) == {LATTER: ("active", 13)}


async def test_a_document_that_is_deleted_while_it_is_embedded_is_no_error(
    database: Database, client: Callable[[str], EmbeddingServer], served: EmbeddingServerDouble
) -> None:
    await index(database, client(FORMER))
    core = Core(database, ReindexKind(database, client(LATTER)))
    served.hold()
    running = asyncio.create_task(core.run(ask(database, LATTER)))
    await served.calls_at_once(1)

    database.write_now(lambda connection: remove_chunks(connection, "document", "책방"))
    served.release()

    assert (await running).status == "completed"
    assert state(database) == {LATTER: ("active", 11)}


async def test_without_a_model_there_is_nothing_to_do(database: Database) -> None:
    core = Core(database, ReindexKind(database, None))
    job = await core.submit(kind=REINDEX)

    ended = await core.run(job)

    assert ended.status == "completed"
    assert [step.reason for step in await core.jobs.steps(job.id)] == ["no_embedding_model"]


@contextmanager
def replaced_call(served: EmbeddingServerDouble, number: int) -> Iterator[None]:
    """Let the call with this number fail, counted from 0."""
    answer = served.answer

    def failing(call) -> Fault:
        if len(served.calls) == number:
            served.fail(Fault(503))
        return answer(call)

    served.answer = failing
    yield
    served.answer = answer
