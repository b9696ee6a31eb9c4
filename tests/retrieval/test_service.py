"""The service with an embedding model: it builds its index by itself, and a document is found by its meaning."""

from sqlalchemy import func, select

from generation_service.bootstrap import build
from generation_service.database.tables import chunk_vectors, schedules
from generation_service.retrieval import add_chunks
from tests.retrieval.test_finding import PASSAGES, chunk
from tests.support.embeddings import EmbeddingServerDouble
from tests.support.settings import SettingsFor
from tests.support.toy import until


async def test_a_service_that_starts_with_a_model_indexes_what_is_there(
    sqlite_url: str, settings_for: SettingsFor, served: EmbeddingServerDouble
) -> None:
    settings = settings_for(
        database_url=sqlite_url, embedding_base_url=served.base_url, embedding_model="hash-64", prune_cron="0 0 1 1 *"
    )
    runtime = build(settings, "api")
    chunks = [chunk(name, words) for name, words in PASSAGES.items()]
    runtime.database.write_now(lambda connection: add_chunks(connection, chunks))
    count = select(func.count()).select_from(chunk_vectors)

    async with runtime.running():

        async def whole() -> bool:
            return await runtime.database.read(lambda connection: connection.execute(count).scalar_one()) == len(chunks)

        await until(whole)
        found = await runtime.library.retriever.find("p", "쀍", limit=5)
        planned = await runtime.database.read(
            lambda connection: set(connection.execute(select(schedules.c.id)).scalars())
        )

    assert len(found) == 5
    assert "reindex" in planned


async def test_a_service_without_a_model_has_no_such_job(sqlite_url: str, settings_for: SettingsFor) -> None:
    runtime = build(settings_for(database_url=sqlite_url), "api")

    async with runtime.running():
        planned = await runtime.database.read(
            lambda connection: set(connection.execute(select(schedules.c.id)).scalars())
        )

    assert "reindex" not in planned
    assert runtime.library.embedder is None
