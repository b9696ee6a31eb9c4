"""What tests of the index share: an embedding server, a client of it, and a PostgreSQL that has pgvector."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from generation_service.database import Database
from generation_service.embeddings.server import EmbeddingServer
from scripts.embedded.postgresql_programs import programs_of_wheel
from scripts.embedded.postgresql_server import EmbeddedPostgres
from tests.support.embeddings import EmbeddingServerDouble
from tests.support.servers import PostgresDatabases

MODEL = "hash-64"
FORMER, LATTER = "former-64", "latter-32"
ELSEWHERE = "another process with the latter model"


@pytest.fixture
def served() -> Iterator[EmbeddingServerDouble]:
    with EmbeddingServerDouble() as double:
        yield double


@pytest.fixture
async def embedder(served: EmbeddingServerDouble) -> AsyncIterator[EmbeddingServer]:
    client = EmbeddingServer(served.base_url, MODEL, api_key="key-of-tests")
    yield client
    await client.aclose()


@pytest.fixture
async def client(served: EmbeddingServerDouble) -> AsyncIterator[Callable[[str], EmbeddingServer]]:
    """Clients of one server, one for each model that is configured, and for another process; four texts a call."""
    wanted = {FORMER: FORMER, LATTER: LATTER, ELSEWHERE: LATTER}
    clients = {name: EmbeddingServer(served.base_url, model, batch=4, concurrency=2) for name, model in wanted.items()}
    yield clients.__getitem__
    for one in clients.values():
        await one.aclose()


@pytest.fixture(scope="session")
def _databases_of_wheel() -> Iterator[PostgresDatabases]:
    server = EmbeddedPostgres(programs_of_wheel())
    server.start()
    try:
        databases = PostgresDatabases(server)
        yield databases
        databases.close()
    finally:
        server.stop()


@pytest.fixture
def pgvector_database(_databases_of_wheel: PostgresDatabases) -> Iterator[Database]:
    """A fresh, migrated database on the PostgreSQL of the wheel, which brings pgvector; it is not installed yet."""
    with _databases_of_wheel.fresh() as url:
        database = Database(url)
        yield database
        database.close()
