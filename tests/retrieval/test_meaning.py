"""Finding by vectors: what words do not find, alike on every database, and never at the price of a failed search."""

import asyncio
import logging
import random
from collections.abc import Sequence

import pytest
from sqlalchemy import func, select, text

from generation_service.database import Database
from generation_service.database.tables import chunk_vectors, index_generations
from generation_service.embeddings.server import EmbeddingServer
from generation_service.jobs.model import Usage
from generation_service.retrieval import Indexer, NewChunk, Passage, Retriever, add_chunks, remove_chunks
from generation_service.retrieval.questions import Questions
from generation_service.retrieval.scanning import CANDIDATES, Scanner
from generation_service.retrieval.vectors import unit
from tests.retrieval.test_finding import PASSAGES, chunk, hostile_corpus
from tests.support.embeddings import EmbeddingServerDouble, Fault, vector

MODEL = "hash-64"


async def indexed(database: Database, embedder: EmbeddingServer, chunks: Sequence[NewChunk]) -> int:
    prepared = await Indexer(database, embedder).prepare(chunks, lambda _: None)
    return await database.write(prepared.write)


def rows(database: Database, table) -> list:
    return database.read_now(lambda connection: connection.execute(select(table)).all())


def counted(database: Database) -> int:
    count = select(func.count()).select_from(chunk_vectors)
    return database.read_now(lambda connection: connection.execute(count).scalar_one())


def corpus() -> list[NewChunk]:
    return [chunk(name, words) for name, words in PASSAGES.items()]


async def test_chunks_get_their_vectors_in_the_transaction_that_indexes_them(
    database: Database, embedder: EmbeddingServer, served: EmbeddingServerDouble
) -> None:
    # Given 48 chunks
    chunks = [chunk("대본", f"{number}번째 장면이다", ordinal=number) for number in range(48)]
    spent: list[Usage] = []

    # When they are prepared, then two calls were made and nothing is stored
    prepared = await Indexer(database, embedder).prepare(chunks, spent.append)
    assert (len(served.calls), counted(database)) == (2, 0)
    assert len(spent) == 2

    # When they are written, twice even, then each has its vector
    assert [await database.write(prepared.write) for _ in range(2)] == [48, 0]
    assert counted(database) == 48
    [generation] = rows(database, index_generations)
    assert (generation.model, generation.dimension, generation.status) == (MODEL, 64, "active")


async def test_what_no_word_of_the_question_stands_in_is_found(
    database: Database, embedder: EmbeddingServer, served: EmbeddingServerDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a model to which the question means what a passage without its words says
    await indexed(database, embedder, corpus())
    monkeypatch.setattr("tests.support.embeddings.vector", lambda model, _: vector(model, PASSAGES["바다"]))

    found = await Retriever(database, embedder).find("p", "해변으로 떠난 여행", limit=3)

    assert found[0].source_id == "바다"
    assert await Retriever(database).find("p", "해변으로 떠난 여행", limit=3) == []


async def test_a_passage_that_both_find_comes_before_what_only_one_finds(
    database: Database, embedder: EmbeddingServer
) -> None:
    await indexed(database, embedder, corpus())

    found = await Retriever(database, embedder).find("p", PASSAGES["재판"])

    assert found[0].source_id == "재판"
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert found[0].score == pytest.approx(2 / 61)


async def test_every_way_of_comparing_gives_the_same_answer(
    sqlite_database: Database, pgvector_database: Database, embedder: EmbeddingServer
) -> None:
    # Given the same texts on both, many of them alike, and another project's on one of them
    chunks = hostile_corpus("p") + [chunk(f"twin{number}", "같은 글이다", ordinal=number) for number in range(300)]
    for database in (sqlite_database, pgvector_database):
        await indexed(database, embedder, chunks)
    await indexed(sqlite_database, embedder, hostile_corpus("q"))
    ways = [
        (sqlite_database, Scanner(sqlite_database)),
        (pgvector_database, Scanner(pgvector_database, pgvector=False)),
        (pgvector_database, Scanner(pgvector_database)),
    ]

    for question in (*PASSAGES.values(), "같은 글이다", "S#3. 옥상"):
        for kinds in (None, ["document"], ["job"]):
            # When the same is asked in every way
            answers = [
                await Retriever(database, embedder, scanner=scanner).find("p", question, 50, kinds)
                for database, scanner in ways
            ]
            near = [
                await scanner.nearest(_generation(database), "p", unit([vector(MODEL, question)])[0], kinds)
                for database, scanner in ways
            ]

            # Then passages, order and scores are equal
            assert answers[0] == answers[1] == answers[2]
            assert _ids(near[0]) == _ids(near[1]) == _ids(near[2])
            assert len(near[0]) == (0 if kinds == ["job"] else CANDIDATES)
    assert ways[2][1]._pgvector is True


async def test_the_nearest_are_those_that_a_plain_calculation_names(
    database: Database, embedder: EmbeddingServer
) -> None:
    seeded = random.Random(5)  # noqa: S311 - the same texts each time, not a secret
    words = " ".join(PASSAGES.values()).split()
    chunks = [chunk("s", " ".join(seeded.choices(words, k=12)), ordinal=number) for number in range(2_300)]
    await indexed(database, embedder, chunks)
    question = unit([vector(MODEL, "극장의 정전")])[0]

    found = await Scanner(database).nearest(_generation(database), "p", question, None)

    cosines = {one.id: float(unit([vector(MODEL, one.text)])[0] @ question) for one in chunks}
    best = sorted(cosines.values(), reverse=True)
    assert [one.score for one in found] == pytest.approx(best[: len(found)], abs=1e-6)
    assert len(found) == CANDIDATES


async def test_a_role_that_may_not_install_the_extension_is_served_without(
    pgvector_database: Database, embedder: EmbeddingServer
) -> None:
    # Given a role that may only read
    await indexed(pgvector_database, embedder, corpus())
    restricted = _as_restricted_role(pgvector_database)
    scanner = Scanner(restricted)
    try:
        found = await Retriever(restricted, embedder, scanner=scanner).find("p", "정전", limit=1)
    finally:
        restricted.close()

    assert scanner._pgvector is False
    assert found[0].source_id == "극장"


async def test_processes_that_install_the_extension_at_once_all_use_it(
    pgvector_database: Database, embedder: EmbeddingServer
) -> None:
    await indexed(pgvector_database, embedder, corpus())
    question = unit([vector(MODEL, "극장의 정전")])[0]
    scanners = [Scanner(pgvector_database) for _ in range(6)]

    found = await asyncio.gather(
        *(one.nearest(_generation(pgvector_database), "p", question, None) for one in scanners)
    )

    assert all(one._pgvector for one in scanners)
    assert all(one == found[0] for one in found)


async def test_equal_texts_are_given_once(database: Database, embedder: EmbeddingServer) -> None:
    twins = [chunk(name, PASSAGES["편지"]) for name in ("사본", "편지")]
    await indexed(database, embedder, [*twins, chunk("답장", "편지에 답하지 않는다")])

    for retriever in (Retriever(database), Retriever(database, embedder)):
        found = await retriever.find("p", "이름 없는 편지", limit=2)
        assert sorted(one.source_id for one in found) == ["답장", "사본"]


@pytest.mark.parametrize("fault", [Fault(503), Fault(401), Fault(200, body=b"?"), Fault(body=None)])
async def test_a_search_does_without_a_model_that_is_away(
    database: Database,
    embedder: EmbeddingServer,
    served: EmbeddingServerDouble,
    fault: Fault,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Given an index with vectors, and a server that fails
    await indexed(database, embedder, corpus())
    calls = len(served.calls)
    served.fail(*[fault] * 9)
    retriever = Retriever(database, questions=Questions(embedder, patience_seconds=0.3))

    # When it is asked three times
    with caplog.at_level(logging.WARNING):
        answers = [await retriever.find("p", "보낸 사람의 편지", limit=3) for _ in range(3)]

    # Then words answer, the server was asked once, and it was said once
    assert answers == [await Retriever(database).find("p", "보낸 사람의 편지", limit=3)] * 3
    assert len(served.calls) == calls + 1
    assert [record.action for record in caplog.records] == ["search_by_words_only"]


async def test_a_model_that_is_back_is_asked_again(
    database: Database, embedder: EmbeddingServer, served: EmbeddingServerDouble
) -> None:
    await indexed(database, embedder, corpus())
    served.fail(Fault(503))
    retriever = Retriever(database, questions=Questions(embedder, pause_seconds=0.0))

    assert await retriever.find("p", "쀍") == []
    assert await retriever.find("p", "쀍") != []


async def test_a_question_of_a_job_is_its_expense(database: Database, embedder: EmbeddingServer) -> None:
    await indexed(database, embedder, corpus())
    spent: list[Usage] = []

    await Retriever(database, embedder).find("p", "정전", spend=spent.append)

    assert spent == [Usage(input_tokens=2, model=MODEL)]


async def test_no_question_is_embedded_before_there_is_a_vector(
    database: Database, embedder: EmbeddingServer, served: EmbeddingServerDouble
) -> None:
    database.write_now(lambda connection: add_chunks(connection, corpus()))

    assert (await Retriever(database, embedder).find("p", "정전"))[0].source_id == "극장"
    assert served.calls == []


async def test_processes_that_begin_at_once_begin_one_generation(database: Database, embedder: EmbeddingServer) -> None:
    prepared = [Indexer(database, embedder).prepare([chunk(f"{n}", f"글 {n}")], lambda _: None) for n in range(6)]
    await asyncio.gather(*(database.write(one.write) for one in await asyncio.gather(*prepared)))

    assert len(rows(database, index_generations)) == 1
    assert counted(database) == 6


async def test_the_vectors_of_what_is_removed_are_gone(database: Database, embedder: EmbeddingServer) -> None:
    await indexed(database, embedder, corpus())
    database.write_now(lambda connection: remove_chunks(connection, "document", "편지"))

    assert counted(database) == len(PASSAGES) - 1
    assert "편지" not in {one.source_id for one in await Retriever(database, embedder).find("p", PASSAGES["편지"])}


def _generation(database: Database) -> str:
    return rows(database, index_generations)[0].id


def _ids(passages: Sequence[Passage]) -> list[str]:
    return [one.chunk_id for one in passages]


def _as_restricted_role(database: Database) -> Database:
    def grant(connection) -> None:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f'CREATE ROLE "reader_of_{name}" LOGIN'))
        connection.execute(text(f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "reader_of_{name}"'))

    database.write_now(grant)
    url = database.url.set(username=f"reader_of_{database.url.database}")
    return Database(url.render_as_string(hide_password=False))
