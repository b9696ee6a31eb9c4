"""The copies that most tests run the service in behave as processes of their own, and outlive nobody."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from scripts.embedded.children import Program
from tests.cli.serving import DEADLINE_SECONDS, ROOT, eventually, is_gone
from tests.support.warm import WarmChild, warm_up

_PARENT = """
import sys
from pathlib import Path
from tests.cli.test_warm_children import serving
from tests.support.warm import warm_up
warm_up()
print(serving(Path(sys.argv[1])).pid, flush=True)
sys.stdin.read()
"""


def program(folder: Path, *words: str, **environment: str) -> Program:
    command = ["generation-service", *words]
    return Program(command=command, environment=environment, folder=folder, log=folder / "log")


def serving(folder: Path) -> WarmChild:
    database = f"sqlite:///{folder / 'generation.db'}"
    return WarmChild(program(folder, "serve", PORT="0", DATABASE_URL=database, REDIS_PORT="1"))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [(["--version"], 0, "generation-service 0."), (["nonsense"], 2, "nonsense")],
)
def test_one_runs_its_command_and_its_exit_code_is_known(
    tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    warm_up()

    child = WarmChild(program(tmp_path, *words, LANG="C.UTF-8"))

    assert child.wait(DEADLINE_SECONDS) == child.exit_code == code
    assert said in child.last_words()


def test_one_has_a_group_a_folder_and_an_environment_of_its_own(tmp_path: Path) -> None:
    warm_up()
    child = serving(tmp_path)
    try:
        eventually(lambda: "ready" in child.last_words(), what="it does not serve")  # its settings are those given
        assert os.getpgid(child.pid) == child.pid
        assert Path(f"/proc/{child.pid}/cwd").resolve() == tmp_path.resolve()
        assert child.stop() == 0
    finally:
        child.kill()


def test_one_is_killed_with_whoever_started_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PARENT, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        eventually(lambda: "ready" in (tmp_path / "log").read_text(), what="it does not serve")
        family = [child, *(one.pid for one in psutil.Process(child).children(recursive=True))]
        parent.send_signal(signal.SIGKILL)

    assert len(family) > 1
    eventually(lambda: all(is_gone(pid) for pid in family), what=f"still there: {family}")
