"""The switch between backends, in real processes: nothing is lost or done twice, whoever is killed at whatever moment.

SWITCH_ROUNDS=20 asks for more rounds (SWITCH_SEED for the first one's seed), SWITCH_JOBS=2000,200,20 for that many
jobs that wait, are put off and run.
"""

import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import func, select, update

from generation_service.database import Database, db_now
from generation_service.database.tables import jobs
from scripts.embedded.children import Child
from scripts.embedded.redis_server import EmbeddedRedis
from tests.behaviour.checks import assert_every_step_was_committed_once, assert_one_episode_each
from tests.support.provider import Provider
from tests.support.stack import Stack, stack

pytestmark = pytest.mark.timeout(1800)

ROUNDS = int(os.environ.get("SWITCH_ROUNDS", "2"))
WAITING, SCHEDULED, RUNNING = map(int, os.environ.get("SWITCH_JOBS", "8,2,4").split(","))
TOKEN = "admin-of-this-test"
PROJECT = "switched"
EVIDENCE = ("--root-cause", "found", "--load-test", "passed", "--no-leak", "checked", "--approved-by", "ana")


@dataclass
class Operated:
    """A service with an operator: the commands are processes of their own."""

    stack: Stack
    provider: Provider
    accepted: list[str] = field(default_factory=list)

    def submit(self, count: int) -> None:
        for _ in range(count):
            self.accepted.append(self.stack.submit(project=PROJECT, max_attempts=20)["job_id"])

    def admin(self, path: str) -> dict[str, Any]:
        answer = self.stack.http.get(f"/api/admin/{path}", headers={"Authorization": f"Bearer {TOKEN}"})
        return dict(answer.raise_for_status().json())

    def command(self, name: str, *options: str) -> Child:
        return self.stack.start(name, name, "--reason", "a test", "--json", *options)

    def finish(self, child: Child, name: str) -> int | None:
        self.stack.until(lambda: not child.alive, f"{name} has ended", 90)
        return child.exit_code

    def seconds_until(self, condition: Callable[[], bool], *, since: float) -> float:
        self.stack.until(condition, "what was waited for", 120)
        return time.monotonic() - since

    def sample(self) -> list[str]:
        """Jobs of every sort: the first ones run, the last ones were put off and are not waited for."""
        return self.accepted[: RUNNING + 4]

    def mode(self) -> str:
        return str(self.admin("worker-mode")["worker_system"]["type"])  # from the database; health may be a look late

    def switch_is_under_way(self) -> bool:
        page = self.admin("rollbacks")["items"]
        return bool(page) and page[0]["status"] == "running"


@pytest.fixture
def operated(database_url: str, redis_server: EmbeddedRedis, provider: Provider, tmp_path: Path) -> Iterator[Operated]:
    provider.pace_seconds = 0.02
    settings = {
        "USE_DURABLE_WORKER": "true",
        "REDIS_URL": redis_server.url,
        "ADMIN_TOKEN": TOKEN,
        **provider.settings,
    }
    with stack(tmp_path / "stack", database_url, **settings) as running:
        running.serve("--workers", "2")
        running.worker()
        running.worker("worker-2")
        yield Operated(running, provider)


def kill_and_replace(operated: Operated, victim: str) -> None:
    operated.stack.children[victim].kill()
    if victim == "api":
        operated.stack.serve("--workers", "2")
    elif victim != "rollback":
        operated.stack.worker(victim)


def one_round(operated: Operated, seed: int) -> None:
    """Load, a rollback at a random moment, a kill while it moves, the rollback to its end, and the way back."""
    chance = random.Random(seed)  # noqa: S311 - a round can be repeated
    operated.submit(8)
    time.sleep(chance.uniform(0.0, 1.0))
    rollback = operated.command("rollback")
    operated.stack.until(lambda: operated.switch_is_under_way() or not rollback.alive, "the switch has begun")
    time.sleep(chance.uniform(0.0, 0.2))
    victim = chance.choice(["rollback", "worker", "worker-2", "api"])
    kill_and_replace(operated, victim)
    if victim == "rollback":
        rollback = operated.command("rollback")
    operated.submit(2)
    assert operated.finish(rollback, "rollback") == 0, f"{victim}: {operated.stack.logs()}"
    assert operated.mode() == "background_tasks"
    forward = operated.command("rollforward", *EVIDENCE)
    assert operated.finish(forward, "rollforward") == 0, f"{victim}: {operated.stack.logs()}"
    assert operated.mode() == "rq"


def put_off(database: Database, count: int) -> None:
    """Let the last `count` jobs that wait be due in an hour, as a retry after a long delay would."""
    last = select(jobs.c.id).where(jobs.c.status == "pending").order_by(jobs.c.id.desc()).limit(count)
    later = update(jobs).where(jobs.c.id.in_(last)).values(due_at=db_now(3600), delivered_at=None)
    database.write_now(lambda connection: connection.execute(later))


def count_put_off(database: Database) -> int:
    later = select(func.count()).where(jobs.c.due_at > db_now(60), jobs.c.backend == "background_tasks")
    return int(database.read_now(lambda connection: connection.execute(later).scalar_one()))


def count_at(database: Database, backend: str) -> int:
    there = select(func.count()).where(jobs.c.backend == backend, jobs.c.status.in_(["pending", "running"]))
    return int(database.read_now(lambda connection: connection.execute(there).scalar_one()))


def test_rounds_of_switching_with_a_kill_lose_nothing_and_do_nothing_twice(operated: Operated) -> None:
    first = int(os.environ.get("SWITCH_SEED", "1"))
    for seed in range(first, first + ROUNDS):
        one_round(operated, seed)

    for job_id in operated.accepted:
        assert operated.stack.wait_for(job_id, seconds=120)["status"] == "completed", job_id
        assert_every_step_was_committed_once(operated.stack, operated.provider, job_id)
    assert_one_episode_each(operated.stack, PROJECT, operated.accepted)
    ledger = operated.admin("ledger")
    assert (ledger["lost"], ledger["duplicated"], ledger["unexplained"]) == (0, 0, 0), ledger


def test_with_redis_dead_one_command_moves_what_waits_is_due_later_and_runs(
    operated: Operated, redis_server: EmbeddedRedis, database: Database
) -> None:
    # Given jobs that run, jobs that wait, and jobs that are to be tried again later
    operated.provider.hold("signal")
    operated.stack.settings |= {"WORKER_CONCURRENCY": str(RUNNING // 2), "BACKGROUND_MAX_CONCURRENCY": str(RUNNING)}
    for name in ("worker", "worker-2"):
        operated.stack.children[name].stop(grace_seconds=30)
        operated.stack.worker(name)
    operated.submit(WAITING + SCHEDULED + RUNNING)
    operated.provider.wait_until_held("signal", count=RUNNING)
    put_off(database, SCHEDULED)

    # When Redis dies and somebody types the one command
    redis_server.kill()
    began = time.monotonic()
    rollback = operated.command("rollback")
    owned = operated.seconds_until(lambda: count_at(database, "rq") == 0, since=began)
    assert operated.finish(rollback, "rollback") == 0, operated.stack.logs()
    took = time.monotonic() - began

    # Then all of it is in-process, what was put off too, and what ran goes on from its last step
    print(f"every job owned in-process after {owned:.1f} s, verified end after {took:.1f} s")  # noqa: T201 - figures
    assert count_put_off(database) == SCHEDULED
    operated.provider.release()
    for job_id in operated.sample():
        done = operated.stack.wait_for(job_id, seconds=600)
        assert (done["status"], done["backend"], done["attempt"]) == ("completed", "background_tasks", 1)
        assert_every_step_was_committed_once(operated.stack, operated.provider, job_id)


def test_whoever_spoke_last_is_in_force_over_a_restart(operated: Operated) -> None:
    api = operated.stack.children["api"]

    # An operator says false while the environment says true; a restart does not undo it
    assert operated.finish(operated.command("rollback"), "rollback") == 0
    api.stop(grace_seconds=30)
    operated.stack.serve()
    health = operated.stack.http.get("/health").json()["worker_system"]
    assert (health["enabled"], health["type"], health["source"]) == (False, "background_tasks", "operator")

    # Then a deployment says false, and later true: its change is the last word
    for value, expected in (("false", "background_tasks"), ("true", "rq")):
        operated.stack.children["api"].stop(grace_seconds=30)
        operated.stack.settings["USE_DURABLE_WORKER"] = value
        operated.stack.serve()
        health = operated.stack.http.get("/health").json()["worker_system"]
        assert (health["type"], health["source"]) == (expected, "environment")


def test_what_lies_in_redis_without_a_job_becomes_a_dead_letter(
    operated: Operated, redis_server: EmbeddedRedis
) -> None:
    with Redis.from_url(redis_server.url) as client:
        client.rpush("rq:queue:rag_processing_low", "nobody-knows-this")

        assert operated.finish(operated.command("rollback"), "rollback") == 0

        letters = operated.admin("dead-letters")["items"]
        assert [letter["job_id"] for letter in letters] == [None]
        assert client.llen("rq:queue:rag_processing_low") == 0
