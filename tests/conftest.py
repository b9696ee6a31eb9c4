"""What every test may ask for: databases on both engines, a real Redis, settings."""

import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis.configuration import set_hypothesis_home_dir
from redis import Redis

from generation_service.database import Database
from scripts.embedded.redis_server import EmbeddedRedis
from tests.support import scheduling
from tests.support.network import forbid_network
from tests.support.provider import Provider
from tests.support.servers import PostgresDatabases, SqliteDatabases, postgres_databases
from tests.support.settings import GivenSettings, SettingsFor

forbid_network()

# The same examples in every run, however slow the machine: a failure can be repeated, and is never about time.
set_hypothesis_home_dir("var/cache/hypothesis")
hypothesis_settings.register_profile(
    "suite", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("suite")


pytest_collection_modifyitems = scheduling.longest_first
pytest_xdist_make_scheduler = scheduling.make_scheduler


@pytest.fixture(scope="session")
def _postgres_databases() -> Iterator[PostgresDatabases]:
    with postgres_databases() as databases:
        yield databases


@pytest.fixture(scope="session")
def _sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabases:
    return SqliteDatabases(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def _session_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    """Put back the root logger: a command that ran in this process leaves it a terminal that is gone."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a fresh, migrated database; each test that asks for it runs on both engines."""
    yield from _fresh_url(request, request.param)


@pytest.fixture
def either_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a fresh, migrated database, for what real processes do whatever the database is.

    Not for what is killed while it writes: that is tried on both engines. A test always gets the same one, by its
    name; the tests of a large file meet both between them.
    """
    yield from _fresh_url(request, ("sqlite", "postgresql")[zlib.adler32(request.node.name.encode()) % 2])


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh, migrated `Database`; each test that asks for it runs on both engines."""
    yield from _opened(database_url)


@pytest.fixture
def sqlite_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a fresh, migrated SQLite database, where the engine does not matter."""
    yield from _fresh_url(request, "sqlite")


@pytest.fixture
def sqlite_database(sqlite_url: str) -> Iterator[Database]:
    """A fresh, migrated `Database` on SQLite, where the engine does not matter."""
    yield from _opened(sqlite_url)


@pytest.fixture
def postgresql_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a fresh, migrated PostgreSQL database, for what only PostgreSQL does."""
    yield from _fresh_url(request, "postgresql")


@pytest.fixture
def postgresql_database(postgresql_url: str) -> Iterator[Database]:
    """A fresh, migrated `Database` on PostgreSQL, for what only PostgreSQL does."""
    yield from _opened(postgresql_url)


@pytest.fixture
def redis_url(_session_redis: EmbeddedRedis) -> str:
    """The URL of a real, empty Redis that the session shares; a test that stops Redis asks for `redis_server`."""
    with Redis.from_url(_session_redis.url) as client:
        client.flushall()
    return _session_redis.url


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A real Redis of this test's own, to stop, start, freeze, thaw and kill; it comes back empty."""
    server = EmbeddedRedis(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A real server of this test's own that answers as a model's would; `provider.settings` points a service at it."""
    with Provider() as running:
        yield running


@pytest.fixture
def settings_for(tmp_path: Path) -> SettingsFor:
    """A factory of Settings that reads neither the environment nor `.env`; everything is below `tmp_path`."""
    defaults: dict[str, Any] = {
        "database_url": f"sqlite:///{tmp_path / 'generation.db'}",
        "storage_url": str(tmp_path / "objects"),
        "port": 0,
        "redis_port": 1,  # nobody listens there: a test that uses Redis says which
        "retry_base_seconds": 0.0,
        "shutdown_grace_seconds": 2.0,
        "recovery_interval_seconds": 0.1,
    }
    return lambda **given: GivenSettings(**(defaults | given))


def _fresh_url(request: pytest.FixtureRequest, engine: str) -> Iterator[str]:
    # Asked for by name, so that a run that needs no PostgreSQL starts none.
    if engine == "postgresql":
        postgres: PostgresDatabases = request.getfixturevalue("_postgres_databases")
        with postgres.fresh() as url:
            yield url
    else:
        sqlite: SqliteDatabases = request.getfixturevalue("_sqlite_databases")
        yield sqlite.fresh(request.getfixturevalue("tmp_path"))


def _opened(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()
