"""URLs of Redis, and a real Sentinel."""

from pathlib import Path

import pytest
from redis import Redis, UnixDomainSocketConnection
from redis.connection import SSLConnection
from redis.exceptions import TimeoutError as RedisTimeoutError

from generation_service.errors import ConfigurationError
from scripts.embedded.children import Child, Program
from scripts.embedded.ports import free_port
from scripts.embedded.redis_server import EmbeddedRedis, find_program
from tests.rq.support.deliveries import a_backend, a_job, eventually, rq_queue
from workers.redis_connection import connect


def test_each_form_of_url_is_understood() -> None:
    assert connect("redis://:pw@host:7000/5", timeout_seconds=1).get_connection_kwargs()["db"] == 5
    assert connect("rediss://host", timeout_seconds=1).connection_pool.connection_class is SSLConnection
    over_file = connect("unix:///run/redis.sock?db=5", timeout_seconds=1).connection_pool
    assert over_file.connection_class is UnixDomainSocketConnection
    assert over_file.connection_kwargs["path"] == "/run/redis.sock"


def test_a_sentinel_url_names_hosts_service_and_database() -> None:
    pool = connect("redis+sentinel://me:p%40ss@h1,h2:7001,[::1]:7002/main/5", timeout_seconds=1).connection_pool

    addresses = [
        (one.connection_pool.connection_kwargs["host"], one.connection_pool.connection_kwargs["port"])
        for one in pool.sentinel_manager.sentinels
    ]
    assert addresses == [("h1", 26379), ("h2", 7001), ("::1", 7002)]
    assert pool.service_name == "main"
    given = pool.connection_kwargs
    assert (given["db"], given["username"], given["password"], given["socket_timeout"]) == (5, "me", "p@ss", 1)


@pytest.mark.parametrize(
    "url",
    [
        "http://host",
        "redis+sentinel://host:1",
        "redis+sentinel:///service",
        "redis+sentinel://h:x/service",
        "redis+sentinel://h/service/x",
        "redis://host:port",
    ],
)
def test_any_other_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL: takes") as refused:
        connect(url, timeout_seconds=1)
    assert url not in str(refused.value)


def test_a_call_that_is_not_answered_is_not_repeated(redis_server: EmbeddedRedis) -> None:
    client = connect(redis_server.url, timeout_seconds=0.2)
    client.ping()
    client.config_resetstat()
    redis_server.freeze()
    with pytest.raises(RedisTimeoutError):
        client.rpush("list", "once")
    redis_server.thaw()

    after = Redis.from_url(redis_server.url)
    eventually(lambda: after.llen("list") > 0)
    assert after.lrange("list", 0, -1) == [b"once"]


def test_deliveries_go_through_a_sentinel(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    port = free_port()
    settings = tmp_path / "sentinel.conf"
    settings.write_text(f"port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {redis_server.port} 1\n")
    command = [str(find_program()), str(settings), "--sentinel"]
    sentinel = Child(Program(command=command, environment={}, folder=tmp_path, log=tmp_path / "sentinel.log"))
    url = f"redis+sentinel://127.0.0.1:{port}/main/5"
    try:
        with a_backend(url) as backend:
            eventually(backend.ping)
            job = a_job()
            backend.deliver([job])
            eventually(lambda: rq_queue(Redis.from_url(redis_server.url)).count == 1)
            assert backend.look()(job.id, job.delivery)
    finally:
        sentinel.stop()
