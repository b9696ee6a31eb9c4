"""Worker and scheduler stand by while the RQ part is part off, and come back by themselves."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from redis import Redis
from sqlalchemy import Connection

from generation_service.cli.standby import _BEGUN_ANEW
from generation_service.database import Database
from generation_service.jobs.routing import Carry, current_mode
from generation_service.switching.mode import Flag, Word, say
from generation_service.switching.processes import ProcessView, alive
from scripts.embedded.children import Child, Program
from scripts.embedded.redis_server import EmbeddedRedis
from tests.support.provider import Provider
from tests.support.stack import Stack, stack

pytestmark = pytest.mark.timeout(180)

ROLES = ("worker", "scheduler")


@dataclass
class RqPart:
    """Real processes, and an operator who switches the RQ part on and off."""

    stack: Stack
    database: Database

    def say(self, *, enabled: bool, carry: Carry = "nothing") -> None:
        def write(connection: Connection) -> None:
            mode = current_mode(connection)
            word = Word(flag=Flag(True, enabled), carry=carry, reason="a test", said_by="ana", source="operator")  # noqa: FBT003
            assert say(connection, word, after=mode.epoch if mode else 0)

        self.database.write_now(write)

    def rows(self, role: str) -> list[ProcessView]:
        return self.database.read_now(lambda connection: alive(connection, role))

    def until_state(self, role: str, state: str) -> ProcessView:
        def there() -> bool:
            return [one.state for one in self.rows(role)] == [state]

        self.stack.until(there, f"the {role} is {state}")
        return self.rows(role)[0]

    def end(self, name: str, number: signal.Signals = signal.SIGTERM) -> int | None:
        child = self.stack.children[name]
        child.send(number)
        self.stack.until(lambda: not child.alive, f"{name} has ended")
        return child.exit_code


@pytest.fixture
def part(either_url: str, redis_url: str, tmp_path: Path) -> Iterator[RqPart]:
    database = Database(either_url)
    with stack(tmp_path / "stack", either_url, USE_DURABLE_WORKER="true", REDIS_URL=redis_url) as running:
        yield RqPart(running, database)
    database.close()


def test_both_stand_by_while_they_are_not_wanted_and_come_back_by_themselves(part: RqPart, redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    children = {role: part.stack.start(role, role) for role in ROLES}
    working = {role: part.until_state(role, "serving") for role in ROLES}
    part.stack.until(lambda: client.scard("rq:workers") == 1, "the worker is registered")
    assert [working[role].pid for role in ROLES] == [children[role].pid for role in ROLES]

    part.say(enabled=False)

    standing = {role: part.until_state(role, "standby") for role in ROLES}
    assert [standing[role].pid for role in ROLES] == [children[role].pid for role in ROLES]
    assert standing["worker"].figures["rss_bytes"] < working["worker"].figures["rss_bytes"]
    assert "0 workers" in rq_info(redis_url)
    assert client.scard("rq:workers") == 0
    assert len(client.client_list()) == 1, "only this test is connected"
    assert all(child.alive for child in children.values())

    part.say(enabled=True)

    for role in ROLES:
        assert part.until_state(role, "serving").pid == children[role].pid
    part.stack.until(lambda: client.scard("rq:workers") == 1, "the worker is registered again")
    assert part.end("worker") == part.end("scheduler") == 0


def rq_info(url: str) -> str:
    program = Path(sys.executable).with_name("rq")
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    shown = subprocess.run(
        [program, "info", "--url", url], capture_output=True, text=True, check=True, timeout=30, env=environment
    )
    return shown.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_stands_by_ends_at_once_and_in_good_order(part: RqPart, number: signal.Signals) -> None:
    part.stack.settings["REDIS_URL"] = "redis://127.0.0.1:1/5"  # who stands by does not miss it
    part.say(enabled=False)
    for role in ROLES:
        part.stack.start(role, role)
        part.until_state(role, "standby")

    assert [part.end(role, number) for role in ROLES] == [0, 0]
    assert [part.rows(role) for role in ROLES] == [[], []]


def test_a_worker_that_is_to_end_while_it_drains_does_not_begin_anew(part: RqPart, provider: Provider) -> None:
    use(part, provider, SHUTDOWN_GRACE_SECONDS="60")
    provider.hold("signal")
    part.stack.serve()
    part.stack.worker()
    part.stack.submit()
    provider.wait_until_held("signal")
    part.say(enabled=False)
    part.until_state("worker", "draining")

    worker, log = part.stack.children["worker"], part.stack.folder / "worker.log"
    # Signals that come when it has as good as ended would end Python, which has put its handlers away.
    part.stack.until(
        lambda: "action=releasing" in log.read_text() or bool(worker.send(signal.SIGTERM)), "the worker gives back"
    )

    assert worker.wait(20) == 0
    assert "Standing by" not in log.read_text()


@pytest.mark.parametrize("carry", ["nothing", "running"])
def test_what_a_worker_runs_when_it_is_switched_off_goes_on_elsewhere_from_its_last_step(
    part: RqPart, provider: Provider, carry: Carry
) -> None:
    use(part, provider)
    provider.hold("validation")
    part.stack.serve()
    part.stack.worker()
    job = part.stack.submit()
    provider.wait_until_held("validation")

    part.say(enabled=False, carry=carry)

    part.until_state("worker", "standby")
    provider.release()
    done = part.stack.wait_for(job["job_id"])
    assert (done["status"], done["backend"], done["attempt"]) == ("completed", "background_tasks", 1)
    assert [provider.count(step) for step in ("signal", "validation", "insight")] == [1, 2, 1]


def use(part: RqPart, provider: Provider, **settings: str) -> None:
    part.stack.settings.update(provider.settings | settings)


@pytest.mark.parametrize("trouble", ["kill", "freeze"])
def test_a_worker_whose_redis_does_not_answer_stands_by_all_the_same(
    part: RqPart, redis_server: EmbeddedRedis, trouble: str
) -> None:
    part.stack.settings["REDIS_URL"] = redis_server.url
    for role in ROLES:
        part.stack.start(role, role)
        part.until_state(role, "serving")

    getattr(redis_server, trouble)()
    part.say(enabled=False)

    for role in ROLES:
        part.until_state(role, "standby")


def test_a_burst_does_not_stand_by(part: RqPart) -> None:
    part.say(enabled=False)
    worker = part.stack.worker("worker", "--burst")

    part.stack.until(lambda: not worker.alive, "the worker has ended")

    assert worker.exit_code == 0
    assert part.rows("worker") == []


def test_an_environment_that_has_changed_is_heard_before_anybody_waits(part: RqPart) -> None:
    """A deployment that switches the RQ part on again: its workers must not wait for a word of somebody else."""
    part.stack.start("worker", "worker")
    part.until_state("worker", "serving")
    part.say(enabled=False)
    part.until_state("worker", "standby")
    assert part.end("worker") == 0

    part.stack.settings["DURABLE_WORKER_ROLLOUT_PERCENT"] = "50"
    part.stack.start("worker", "worker")

    part.until_state("worker", "serving")


def test_a_configuration_that_was_changed_meanwhile_is_not_spoken_for_by_who_only_stands_by(part: RqPart) -> None:
    """Nobody has started it: or else it would override the very switch that sends it to standby."""
    part.stack.start("worker", "worker")
    part.until_state("worker", "serving")
    (part.stack.folder / ".env").write_text("DURABLE_WORKER_ROLLOUT_PERCENT=50\n", encoding="utf-8")

    part.say(enabled=False)

    part.until_state("worker", "standby")
    mode = part.database.read_now(current_mode)
    assert mode is not None
    assert (mode.enabled, mode.source) == (False, "operator")


def test_a_process_that_begins_anew_waits_for_its_database(postgresql_url: str, redis_url: str, tmp_path: Path) -> None:
    """It was switched off in good order: a database that is away just then must not end it."""
    database = Database(postgresql_url)
    with stack(tmp_path / "stack", postgresql_url, USE_DURABLE_WORKER="true", REDIS_URL=redis_url) as running:
        part, log = RqPart(running, database), running.folder / "worker.log"
        part.say(enabled=False)
        with away(postgresql_url):
            worker = begin_anew(running, "worker")
            running.until(lambda: log.exists() and "without a database" in log.read_text(), "the worker has looked")
            assert worker.alive

        assert part.until_state("worker", "standby").pid == worker.pid

        assert part.end("worker") == 0
    database.close()


def test_a_process_that_waits_for_its_database_ends_when_it_is_asked_to(
    postgresql_url: str, redis_url: str, tmp_path: Path
) -> None:
    with (
        stack(tmp_path / "stack", postgresql_url, USE_DURABLE_WORKER="true", REDIS_URL=redis_url) as running,
        away(postgresql_url),
    ):
        worker, log = begin_anew(running, "worker"), running.folder / "worker.log"
        running.until(lambda: log.exists() and "without a database" in log.read_text(), "the worker has looked")

        worker.send(signal.SIGTERM)

        assert worker.wait(30) == 0


def begin_anew(running: Stack, role: str) -> Child:
    """A process of `role` as it is right after it has become a fresh one."""
    entry = str(Path(sys.executable).with_name("generation-service"))
    program = Program(
        command=["/bin/sh", "-c", f'{_BEGUN_ANEW}=$$ exec "$0" "$1"', entry, role],
        environment=running.environment(),
        folder=running.folder,
        log=running.folder / f"{role}.log",
        on_orphaned=signal.SIGKILL,
    )
    running.children[role] = Child(program)
    return running.children[role]


@contextmanager
def away(url: str) -> Iterator[None]:
    """A database that takes no new connection meanwhile."""
    name = url.partition("?")[0].rpartition("/")[2]
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format
    with psycopg.connect(url.replace(f"/{name}?", "/postgres?"), autocommit=True) as server:
        server.execute(allow(sql.Identifier(name), sql.Literal(False)))  # noqa: FBT003
        try:
            yield
        finally:
            server.execute(allow(sql.Identifier(name), sql.Literal(True)))  # noqa: FBT003
