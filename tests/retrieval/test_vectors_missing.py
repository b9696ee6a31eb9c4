"""Vectors that are not to be had: nothing fails for it, words find what there is, and the gaps are filled later."""

import logging
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, func, select, update
from sqlalchemy.exc import ProgrammingError

from generation_service.bootstrap import build
from generation_service.database import Database
from generation_service.database.tables import chunks, index_generations
from generation_service.embeddings.server import EmbeddingServer
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs.ids import new_job_id
from generation_service.jobs.model import LIVE, JobId, NewJob
from generation_service.retrieval import REINDEX, Indexer, ReindexKind, Retriever
from tests.documents import files
from tests.pipeline.harness import job_for
from tests.pipeline.test_recipes import SCRIPT
from tests.retrieval.conftest import FORMER, LATTER
from tests.retrieval.test_finding import PASSAGES, chunk
from tests.retrieval.test_meaning import corpus, counted, indexed
from tests.retrieval.test_reindexing import ask, index, state
from tests.support.embeddings import EmbeddingServerDouble, Fault
from tests.support.settings import SettingsFor
from tests.support.toy import Core, until


@pytest.mark.parametrize("fault", [Fault(503), Fault(401), Fault(400), Fault(200, body=b"?")])
async def test_what_is_indexed_while_the_model_is_away_is_found_by_its_words(
    database: Database,
    embedder: EmbeddingServer,
    served: EmbeddingServerDouble,
    fault: Fault,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Given a server that fails
    served.fail(fault, fault)
    indexer = Indexer(database, embedder)

    # When chunks are indexed in two runs, then they are there without vectors, and that was said once
    with caplog.at_level(logging.WARNING):
        for one in (corpus(), [chunk("새것", "새로 온 대본")]):
            await database.write((await indexer.prepare(one, lambda _: None)).write)
    assert counted(database) == 0
    assert [record.action for record in caplog.records] == ["vectors_missing"]
    assert (await Retriever(database, embedder).find("p", "정전"))[0].source_id == "극장"

    # When the server is back, then the next ones have theirs
    await database.write((await indexer.prepare([chunk("또", "또 하나")], lambda _: None)).write)
    assert counted(database) == 1


async def test_vectors_of_another_dimension_are_left_out(
    database: Database, embedder: EmbeddingServer, caplog: pytest.LogCaptureFixture
) -> None:
    await indexed(database, embedder, corpus())
    database.write_now(lambda connection: connection.execute(update(index_generations).values(dimension=32)))

    assert await indexed(database, embedder, [chunk("neu", "새 글")]) == 1

    assert counted(database) == len(PASSAGES)
    assert "reindex --anew" in caplog.text
    question = await Retriever(database, embedder).find("p", "정전", limit=1)
    assert question[0].source_id == "극장"


async def test_a_question_that_is_refused_silences_no_other(
    database: Database, embedder: EmbeddingServer, served: EmbeddingServerDouble
) -> None:
    await indexed(database, embedder, corpus())
    served.fail(Fault(400))
    retriever = Retriever(database, embedder)

    assert await retriever.find("p", "쀍") == []
    assert await retriever.find("p", "쀍") != []


@pytest.mark.parametrize("error", [DatabaseUnavailable("away"), OverflowError("inf"), ProgrammingError("?", {}, None)])
async def test_a_search_does_without_vectors_that_cannot_be_compared(
    database: Database,
    embedder: EmbeddingServer,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await indexed(database, embedder, corpus())

    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("generation_service.retrieval.scanning.similarities", broken)

    assert (await Retriever(database, embedder).find("p", "정전", limit=1))[0].source_id == "극장"
    assert "vectors_not_compared" in {getattr(record, "action", None) for record in caplog.records}


async def test_what_a_start_was_refused_is_begun_by_the_hourly_run(
    database: Database, client: Callable[[str], EmbeddingServer]
) -> None:
    await index(database, client(FORMER))
    core = Core(database, ReindexKind(database, client(LATTER)))

    ended = await core.run(await core.submit(kind=REINDEX, request={}))

    assert ended.result == {"vectors": 12, "activated": True, "finished": True}
    assert state(database) == {LATTER: ("active", 12)}


async def test_a_process_of_the_former_configuration_builds_what_was_asked_for(
    database: Database, client: Callable[[str], EmbeddingServer]
) -> None:
    await index(database, client(FORMER))
    job = ask(database, LATTER)

    await Core(database, ReindexKind(database, client(FORMER))).run(job)

    assert state(database) == {LATTER: ("active", 12)}


async def test_what_was_indexed_without_vectors_gets_them_by_the_hourly_run(
    database: Database, client: Callable[[str], EmbeddingServer], served: EmbeddingServerDouble
) -> None:
    served.unknown.add(FORMER)
    await index(database, client(FORMER))
    assert state(database) == {FORMER: ("active", 0)}

    served.unknown.clear()
    core = Core(database, ReindexKind(database, client(FORMER)))
    await core.run(await core.submit(kind=REINDEX, request={}))

    assert state(database) == {FORMER: ("active", 12)}


async def test_documents_and_generations_complete_without_the_embedding_server(
    sqlite_url: str, settings_for: SettingsFor, served: EmbeddingServerDouble
) -> None:
    # Given a service whose embedding server refuses it
    served.fail(*[Fault(401)] * 50)
    settings = settings_for(database_url=sqlite_url, embedding_base_url=served.base_url, embedding_model="hash-64")
    runtime = build(settings, "api")
    given = {"user_id": "ana", "project_id": "p1", "file_name": "대본.txt"}

    async with runtime.running():

        async def ended(job_id: JobId) -> str:
            async def over() -> bool:
                return (await runtime.jobs.get(job_id)).status not in LIVE

            await until(over)
            return (await runtime.jobs.get(job_id)).status

        # When a document comes, and a generation is asked for
        accepted = await runtime.documents.accept(**given, chunks=files.chunks_of(files.SCRIPT.encode()))
        assert await ended(accepted.job.id) == "completed"
        asked = job_for(SCRIPT)
        wanted = NewJob(
            kind="generation", recipe="script", project_id="p1", user_id="ana", request=asked.request, id=new_job_id()
        )
        assert await ended((await runtime.jobs.submit(wanted)).job.id) == "completed"

        # Then both are found by their words
        retriever = runtime.library.retriever
        assert (await retriever.find("p1", "헌책방", 5, ["document"]))[0].source_id == accepted.document.id
        assert counted(runtime.database) == 0

        # When the server is mended, then reindexing gives them their vectors
        served.mend()
        reindex = NewJob(kind=REINDEX, user_id="ana", request={}, id=new_job_id())
        assert await ended((await runtime.jobs.submit(reindex)).job.id) == "completed"
        assert counted(runtime.database) == await runtime.database.read(all_chunks) > 0


def all_chunks(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(chunks)).scalar_one()
