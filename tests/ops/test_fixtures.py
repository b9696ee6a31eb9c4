"""What the fixtures of the suite promise."""

import os

import pytest
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Connection, text

from generation_service.database import Database
from scripts.embedded.redis_server import EmbeddedRedis
from tests.support.settings import SettingsFor


@pytest.mark.parametrize("once_more", [1, 2])
async def test_each_test_gets_a_migrated_database_that_holds_nothing_of_the_one_before(
    database: Database,
    once_more: int,
) -> None:
    # When one test writes
    def insert(connection: Connection) -> int:
        before: int = connection.execute(text("SELECT count(*) FROM service_state")).scalar_one()
        connection.execute(
            text("INSERT INTO service_state (name, value, updated_at) VALUES ('x', '1', CURRENT_TIMESTAMP)")
        )
        return before

    # Then neither run finds a row of the other
    assert await database.write(insert) == 0


def test_settings_of_a_test_read_no_environment(settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_ATTEMPTS", "77")
    assert settings_for().max_attempts == 4
    assert settings_for(max_attempts=9).max_attempts == 9


def test_the_shared_redis_is_empty_and_real(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")
        assert client.info("server")["process_id"] != os.getpid()


def test_a_frozen_redis_does_not_answer_and_a_thawed_one_does(redis_server: EmbeddedRedis) -> None:
    with Redis.from_url(redis_server.url, socket_timeout=0.2) as client:
        client.set("a", "1")

        redis_server.freeze()
        with pytest.raises(RedisError):
            client.ping()

        redis_server.thaw()
        assert client.get("a") == b"1"


def test_a_redis_that_was_killed_comes_back_empty_on_the_same_port(redis_server: EmbeddedRedis) -> None:
    port = redis_server.port
    with Redis.from_url(redis_server.url) as client:
        client.set("a", "1")
        redis_server.kill()
        with pytest.raises(RedisError):
            client.ping()

        redis_server.start()
        assert (redis_server.port, client.get("a")) == (port, None)
