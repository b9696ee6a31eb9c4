"""The pieces of the development stack."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.errors import ConfigurationError
from generation_service.jobs.routing import current_mode
from generation_service.switching.mode import Word, flag_in_force, say
from generation_service.switching.processes import alive
from scripts.dev_stack.__main__ import environment_for, read_arguments
from scripts.dev_stack.places import HeldLock, Places
from scripts.dev_stack.services import Services
from scripts.dev_stack.shared_redis import SharedRedis
from scripts.embedded.ports import LOOPBACK, free_port, is_taken
from scripts.embedded.redis_server import EmbeddedRedis, server_pid
from scripts.embedded.waiting import wait_until
from tests.support.settings import SettingsFor

SECONDS = 20.0
WORKER = str(Path(sys.executable).with_name("generation-service"))
SLEEPER = [sys.executable, "-c", "print('up', flush=True); import time; time.sleep(60)"]
DEAF = [
    *(sys.executable, "-c"),
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    taken = Places.take(tmp_path / "var", 8002, "en")
    yield taken
    taken.release()


class Kept:
    """Services that note each death; each says `up` once it is."""

    def __init__(
        self, places: Places, folder: Path, environment: Mapping[str, str] | None = None, **commands: list[str]
    ) -> None:
        self.deaths: list[tuple[str, int]] = []
        self.places = places
        self.services = Services(
            commands,
            environment=environment or {},
            folder=folder,
            places=places,
            died=lambda name, code, _pause: self.deaths.append((name, code)),
        )
        self.services.start()
        for name in commands:
            assert wait_until(lambda name=name: "up" in places.log(name).read_text(), SECONDS)

    def pid(self, name: str) -> int:
        return int(self.places.pid_file(name).read_text())

    def stop(self, grace_seconds: float = SECONDS) -> list[str]:
        return self.services.stop(grace_seconds, lambda: False)


def test_a_second_stack_beside_the_first_keeps_its_files_apart(tmp_path: Path, places: Places) -> None:
    second = Places.take(tmp_path / "var", 8010, "en")
    try:
        assert places.log("api").name == "api.log"
        assert second.log("api").name == "api-8010.log"
        with pytest.raises(ConfigurationError, match="8010"):
            Places.take(tmp_path / "var", 8010, "en")
    finally:
        second.release()


def test_a_lock_is_free_again_when_its_holder_was_killed(tmp_path: Path) -> None:
    # Given another process that holds it
    code = (
        "import sys; from pathlib import Path; from scripts.dev_stack.places import HeldLock;"
        "lock = HeldLock.take(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path.cwd()
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        assert HeldLock.take(path) is None

        holder.kill()

    lock = HeldLock.take(path)
    assert lock
    lock.release()


def test_stale_pid_files_are_removed_and_nobody_else_is_harmed(places: Places, tmp_path: Path) -> None:
    # Given pid files that name a process that is gone, one that is not ours, and nonsense
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path) as other:
        places.remember("api", other.pid)
        places.pid_file("worker").write_text("what?")
        places.remember("scheduler", 2**22 + 1)

        assert places.sweep(("api", "worker", "scheduler", "stack"), tmp_path) == ["api", "worker", "scheduler"]

        assert other.poll() is None
        other.kill()
    assert list((tmp_path / "var" / "run").glob("*.pid")) == []


def test_what_a_stale_pid_file_rightly_names_is_ended(places: Places, tmp_path: Path) -> None:
    name = [sys.executable, "-c", "import time; time.sleep(60)", "generation-service"]
    with subprocess.Popen(name, cwd=tmp_path) as left:
        # a process shows its parent's folder until it has become the program
        assert wait_until(lambda: b"generation-service" in Path(f"/proc/{left.pid}/cmdline").read_bytes(), SECONDS)
        places.remember("api", left.pid)

        places.sweep(("api",), tmp_path)

        assert left.wait() == -signal.SIGTERM


def test_a_service_that_dies_is_told_and_started_again(places: Places, tmp_path: Path) -> None:
    kept = Kept(places, tmp_path, api=SLEEPER)
    try:
        first = kept.pid("api")
        os.kill(first, signal.SIGKILL)

        assert wait_until(lambda: kept.services.dead() == "api", SECONDS)
        kept.services.ensure()
        assert kept.deaths == [("api", -signal.SIGKILL)]

        assert wait_until(lambda: bool(kept.services.ensure() or places.pid_file("api").exists()), SECONDS)
        assert kept.pid("api") != first
    finally:
        kept.stop()


def test_all_services_are_ended_and_their_pid_files_removed(places: Places, tmp_path: Path) -> None:
    kept = Kept(places, tmp_path, api=SLEEPER, worker=DEAF)
    pids = [kept.pid("api"), kept.pid("worker")]

    assert kept.stop(grace_seconds=0.3) == ["worker"]

    assert list((tmp_path / "var" / "run").glob("*.pid")) == []
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_worker_that_stands_by_and_comes_back_is_the_same_process_and_no_death(
    places: Places, tmp_path: Path, database: Database, database_url: str, redis_server: EmbeddedRedis
) -> None:
    # Given a worker that is kept running
    up = f"print('up', flush=True); import os; os.execv({sys.executable!r}, [{sys.executable!r}, {WORKER!r}, 'worker'])"
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_server.url, "LANG": "C.UTF-8"}
    kept = Kept(places, tmp_path, environment, worker=[sys.executable, "-c", up])
    try:
        assert wait_until(lambda: states(database) == [(kept.pid("worker"), "serving")], SECONDS)

        # When the RQ part is switched off and on again
        for enabled, state in ((False, "standby"), (True, "serving"), (False, "standby")):
            switch(database, enabled=enabled)
            assert wait_until(lambda state=state: states(database) == [(kept.pid("worker"), state)], SECONDS), state
            kept.services.ensure()

        # Then nobody has died, and it is still known for what it is
        assert kept.deaths == []
        places.sweep(("worker",), tmp_path)
        assert wait_until(lambda: kept.services.dead() == "worker", SECONDS)
    finally:
        kept.stop()


def states(database: Database) -> list[tuple[int, str]]:
    return [(one.pid, one.state) for one in database.read_now(lambda connection: alive(connection, "worker"))]


def switch(database: Database, *, enabled: bool) -> None:
    def write(connection: Connection) -> None:
        mode = current_mode(connection)
        assert mode
        flag = replace(flag_in_force(mode), worker_system_enabled=enabled)
        assert say(connection, Word(flag=flag, reason="a test", said_by="ana", source="operator"), after=mode.epoch)

    database.write_now(write)


def test_a_redis_that_is_named_and_answers_is_used_and_left_running(
    tmp_path: Path, redis_server: EmbeddedRedis, settings_for: SettingsFor
) -> None:
    redis = SharedRedis(settings_for(redis_url=redis_server.url), tmp_path / "var", "en")
    redis.start()
    redis.stop()

    assert redis.url == redis_server.url
    assert server_pid(redis_server.port) == redis_server.pid


def test_a_redis_that_is_named_here_and_does_not_answer_is_started_there(
    tmp_path: Path, settings_for: SettingsFor
) -> None:
    port = free_port()
    redis = SharedRedis(settings_for(redis_port=port), tmp_path / "var", "en")
    redis.start()
    assert server_pid(port)
    redis.stop()

    assert redis.url == f"redis://127.0.0.1:{port}/5"
    assert not is_taken(port)


def test_a_redis_that_is_named_elsewhere_and_does_not_answer_is_one_line(
    tmp_path: Path, settings_for: SettingsFor
) -> None:
    redis = SharedRedis(settings_for(redis_url="redis://secret@127.0.0.9:1/5"), tmp_path / "var", "en")

    with pytest.raises(ConfigurationError, match="No Redis answers") as refused:
        redis.start()

    assert "secret" not in refused.value.message


def test_two_stacks_on_one_database_share_a_redis_and_the_second_takes_it_over(
    tmp_path: Path, unnamed_redis: "SharedRedis", settings_for: SettingsFor
) -> None:
    # Given two stacks on one database, and a key
    second = unnamed(settings_for, tmp_path)
    unnamed_redis.start()
    second.start()
    try:
        assert second.url == unnamed_redis.url
        with Redis.from_url(second.url) as client:
            client.set("a", "kept")

        # When the one that started it ends
        assert second.ensure() is False
        unnamed_redis.stop()

        # Then the other starts it again, on the same port and with what was in it
        assert second.ensure() is True
        with Redis.from_url(second.url) as client:
            assert client.get("a") == b"kept"
    finally:
        second.stop()


def test_stacks_on_different_databases_share_no_redis(
    tmp_path: Path, unnamed_redis: "SharedRedis", settings_for: SettingsFor
) -> None:
    other = unnamed(settings_for, tmp_path, database_url="sqlite:///elsewhere.db")
    unnamed_redis.start()
    other.start()
    try:
        assert other.url != unnamed_redis.url
    finally:
        other.stop()


def test_a_redis_of_the_stack_that_dies_is_started_again(unnamed_redis: "SharedRedis") -> None:
    unnamed_redis.start()
    port = int(unnamed_redis.url.rpartition(":")[2].partition("/")[0])
    pid = server_pid(port)
    assert pid

    os.kill(pid, signal.SIGKILL)

    assert wait_until(unnamed_redis.ensure, SECONDS)
    assert server_pid(port) not in {None, pid}


def test_a_port_that_another_stack_takes_first_is_left_to_it(
    unnamed_redis: "SharedRedis", monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a port that was free when this stack looked, and is not when its server starts
    with socket.create_server((LOOPBACK, 0)) as faster:
        taken = faster.getsockname()[1]
        monkeypatch.setattr(unnamed_redis, "_free_port", lambda _preferred: taken)

        unnamed_redis.start()

    # Then its Redis is on another one
    with Redis.from_url(unnamed_redis.url) as client:
        assert client.ping()
    assert f":{taken}/" not in unnamed_redis.url


def unnamed(settings_for: SettingsFor, tmp_path: Path, **given: str) -> SharedRedis:
    """The Redis of a stack whose settings name none."""
    settings = settings_for(**given)
    fields = settings.model_fields_set - {"redis_port"}
    unset = settings.model_construct(_fields_set=fields, **settings.model_dump(exclude={"redis_port"}))
    return SharedRedis(unset, tmp_path / "var", "en")


@pytest.fixture
def unnamed_redis(tmp_path: Path, settings_for: SettingsFor) -> Iterator[SharedRedis]:
    redis = unnamed(settings_for, tmp_path)
    yield redis
    redis.stop()


def test_jobs_are_durable_unless_the_variable_says_otherwise(settings_for: SettingsFor) -> None:
    unsaid = environment_for(settings_for(), demo=False)
    said = environment_for(settings_for(use_durable_worker=False), demo=False)
    shown = environment_for(settings_for(use_durable_worker=False, worker_system_enabled=False), demo=True)

    assert unsaid["USE_DURABLE_WORKER"] == "true"
    assert said.get("USE_DURABLE_WORKER") == os.environ.get("USE_DURABLE_WORKER")
    assert (shown["USE_DURABLE_WORKER"], shown["WORKER_SYSTEM_ENABLED"]) == ("true", "true")


def test_the_demo_presents_a_token_where_the_api_wants_one(settings_for: SettingsFor) -> None:
    environment = environment_for(settings_for(api_tokens='{"s3cret": "ana"}'), demo=True)

    assert environment["API_TOKEN"] == "s3cret"


def test_the_sample_is_in_the_language_of_the_terminal_or_the_one_asked_for() -> None:
    assert read_arguments(["--demo"], "ko").sample == "ko"
    assert read_arguments(["--demo", "--language", "en"], "ko").sample == "en"
    with pytest.raises(SystemExit) as wrong:
        read_arguments(["--nonsense"], "en")
    assert wrong.value.code == 2
