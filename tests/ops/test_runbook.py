"""The runbooks: every command is run against a real service, in the order of the page."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from generation_service.settings import Settings
from scripts.embedded.redis_server import EmbeddedRedis
from tests.support.stack import Stack, stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
BOOKS = {"en": ROOT / "ops/RUNBOOK.md", "ko": ROOT / "ops/RUNBOOK.ko.md"}
LOCALES = {"en": "C.UTF-8", "ko": "ko_KR.UTF-8"}
HOST = "# host"
ADMIN_TOKEN = "s3cret-of-the-admin"

# A redis-cli that asks this test's server, on machines too that have none.
REDIS_CLI = f"""#!{sys.executable}
import os, sys
from redis import Redis
option, database, *words = sys.argv[1:]
assert option == "-n"
url = os.environ["REDIS_URL"].rpartition("/")[0]
print(Redis.from_url(f"{{url}}/{{database}}").execute_command(*words))
"""


def blocks(book: Path) -> list[str]:
    """The bash blocks of a page."""
    return re.findall(r"^```bash\n(.*?)^```$", book.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(block: str) -> list[list[str]]:
    """The words of each command; what is told in quotes to people may differ from language to language."""
    joined = block.replace("\\\n", " ")
    told = re.sub(r'"[^"$]*"(?=\s|$)|(?<=": )"[^"]*"(?=})', '"..."', joined)
    return [shlex.split(line, comments=True) for line in told.splitlines() if shlex.split(line, comments=True)]


@pytest.fixture
def service(sqlite_url: str, redis_server: EmbeddedRedis, tmp_path: Path) -> Iterator[Stack]:
    """API, worker and scheduler in durable mode, with jobs behind them, and jobs that wait."""
    settings = {
        "USE_DURABLE_WORKER": "true",
        "REDIS_URL": redis_server.url,
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "ROLLBACK_TRIGGERS": "off",
    }
    with stack(tmp_path / "stack", sqlite_url, **settings) as running:
        running.serve()
        running.worker()
        running.start("scheduler", "scheduler")
        running.wait_for(running.submit("first")["job_id"], "completed")
        yield running


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder for PATH with a redis-cli."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "redis-cli").write_text(REDIS_CLI, encoding="utf-8")
    (folder / "redis-cli").chmod(0o755)
    return folder


def test_every_command_does_what_the_runbook_says(service: Stack, programs: Path) -> None:
    language = "ko"  # the other has the same commands, as a test below makes sure
    environment = service.environment() | {
        "LANG": LOCALES[language],
        "HOME": str(service.folder),
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LOG_LEVEL": "warning",
    }
    ran = 0

    for block in blocks(BOOKS[language]):
        if block.startswith(HOST):
            continue
        script = block.replace("http://localhost:8002", service.url)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}\n{service.logs()}"
        ran += 1

    assert ran > 15


@pytest.mark.parametrize("book", BOOKS.values(), ids=BOOKS)
def test_commands_for_a_host_are_at_least_bash(book: Path) -> None:
    on_hosts = [block for block in blocks(book) if block.startswith(HOST)]

    assert on_hosts
    for block in on_hosts:
        checked = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, ""), block


def test_both_languages_have_the_same_commands() -> None:
    english, korean = ([commands(block) for block in blocks(book)] for book in BOOKS.values())

    assert english == korean


def test_both_languages_have_the_same_parts_and_tables() -> None:
    shapes = []
    for book in BOOKS.values():
        lines = book.read_text(encoding="utf-8").splitlines()
        shapes.append(
            [
                line.count("|") if line.startswith("|") else line.split()[0]
                for line in lines
                if line.startswith(("|", "#"))
            ]
        )

    assert shapes[0] == shapes[1]


def test_every_setting_that_a_runbook_names_is_one() -> None:
    named = {
        name
        for book in BOOKS.values()
        for name in re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`", book.read_text(encoding="utf-8"))
    }

    assert {"JOB_LEASE_SECONDS", "ROLLBACK_TRIGGERS"} <= named
    assert {name.lower() for name in named} <= Settings.model_fields.keys()


def test_each_language_is_written_in_itself() -> None:
    english = BOOKS["en"].read_text(encoding="utf-8").replace("한국어", "")

    assert not re.search(r"[가-힣]", english)
