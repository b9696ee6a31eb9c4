"""Child processes end with their parent, and when they are told to."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.embedded.children import Child, Program
from scripts.embedded.postgresql_programs import account_for_server
from scripts.embedded.redis_server import EmbeddedRedis, server_pid
from scripts.embedded.waiting import wait_until

SECONDS = 10.0
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
)
WITH_CHILD = "import subprocess; subprocess.Popen(['sleep', '60']); print('has a child', flush=True); input()"


def started(tmp_path: Path, code: str, said: str) -> Child:
    """A child that runs `code` and has printed `said`."""
    log = tmp_path / "log"
    child = Child(Program(command=[sys.executable, "-c", code], environment={}, folder=tmp_path, log=log))
    assert wait_until(lambda: said in log.read_text(), SECONDS)
    return child


def members(group: int) -> list[str]:
    """The processes of a group that are not dead."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(of_group) == group and state != "Z":
            found.append(stat.parent.name)
    return found


def test_a_server_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    # Given a process that has started a Redis
    code = (
        "import sys; from pathlib import Path; from scripts.embedded.redis_server import EmbeddedRedis;"
        "r = EmbeddedRedis(Path(sys.argv[1])); r.start(); print(r.port, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path.cwd()
    ) as parent:
        assert parent.stdout
        port = int(parent.stdout.readline())
        assert server_pid(port)

        # When it is killed, without a chance to clean up
        parent.kill()

    # Then the Redis goes too
    assert wait_until(lambda: server_pid(port) is None, SECONDS)


def test_a_child_that_does_not_listen_is_killed_after_its_grace(tmp_path: Path) -> None:
    child = started(tmp_path, STUBBORN, "deaf")

    assert child.stop(grace_seconds=0.1) == -signal.SIGKILL


def test_a_frozen_child_is_stopped_within_its_grace(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    server.start()
    server.freeze()

    server.stop()

    assert not server.alive


def test_stopping_a_child_ends_its_children_too(tmp_path: Path) -> None:
    child = started(tmp_path, WITH_CHILD, "has a child")
    # input() has met the end of its input: the leader may be gone while its child lives
    group = child.pid
    assert members(group)

    child.stop()

    assert wait_until(lambda: members(group) == [], SECONDS)


def test_a_command_that_cannot_be_run_says_so(tmp_path: Path) -> None:
    done = Program(command=[str(tmp_path / "missing")], environment={}, folder=tmp_path).run(SECONDS)

    assert done.returncode == 126
    assert "No such file" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_a_program_runs_as_the_account_it_was_given() -> None:
    account = account_for_server()

    done = Program(command=["/usr/bin/id", "-un"], environment={}, folder=Path("/"), account=account).run(SECONDS)

    assert done.stdout.strip() == account
