"""The shell scripts of a rollback: their use, their environment, and what they do to a real service."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.embedded.redis_server import EmbeddedRedis
from tests.support.provider import Provider
from tests.support.stack import Stack, stack

ROOT = Path(__file__).parents[2]
SCRIPTS = ("rollback", "rollforward", "verify-rollback", "watch", "drain-workers")
CRITERIA = ["--root-cause", "disk", "--load-test", "passed", "--no-leak", "level", "--approved-by", "lead"]


def script(
    name: str, *words: str, environment: dict[str, str] | None = None, root: Path = ROOT, lang: str = "C.UTF-8"
) -> "subprocess.CompletedProcess[str]":
    """Run one script of `ops/` with nothing of this machine's configuration."""
    kept = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": lang}
    return subprocess.run(
        ["bash", str(root / "ops" / f"{name}.sh"), *words],
        env={**kept, **(environment or {})},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


# Use


@pytest.mark.parametrize(
    "path", [*ROOT.glob("ops/*.sh"), *ROOT.glob("ops/lib/*.sh"), ROOT / ".ci/run"], ids=lambda path: path.name
)
def test_every_shell_script_is_bash(path: Path) -> None:
    checked = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_can_be_run_by_its_path(name: str) -> None:
    assert os.access(ROOT / "ops" / f"{name}.sh", os.X_OK)


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize(("lang", "korean"), [("C.UTF-8", False), ("ko_KR.UTF-8", True)])
def test_each_script_says_what_it_is_for_in_the_language_of_the_terminal(name: str, lang: str, *, korean: bool) -> None:
    said = script(name, "--help", lang=lang)

    assert (said.returncode, said.stderr) == (0, "")
    assert any("가" <= letter <= "힣" for letter in said.stdout) == korean
    assert "--json" in said.stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rollback", []),
        ("rollback", ["--reason", " "]),
        ("rollback", ["--reason", "x", "--no-such-option"]),
        ("rollforward", []),
        ("rollforward", ["--reason", "x", "--percent", "101"]),
        ("verify-rollback", ["--no-such-option"]),
        ("watch", ["--interval", "0"]),
        ("drain-workers", ["--grace", "soon"]),
    ],
)
def test_wrong_use_is_exit_code_2(name: str, words: list[str], tmp_path: Path) -> None:
    environment = {"DATABASE_URL": f"sqlite:///{tmp_path / 'none.db'}"}

    said = script(name, *words, environment=environment)

    assert said.returncode == 2
    assert said.stderr
    assert list(tmp_path.glob("*.db")) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_checkout_that_is_not_installed_is_one_line(name: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "ops", tmp_path / "ops")

    said = script(name, "--reason", "x", root=tmp_path, lang="ko_KR.UTF-8")

    assert said.returncode == 2
    assert "ops/dev-start.sh" in said.stderr
    assert len(said.stderr.splitlines()) == 1


# The environment of the service

ENVIRONMENT = """\
# what systemd reads too
PLAIN=one two
  QUOTED="with = and # in it"
SINGLE='$HOME stays'
EMPTY=
OURS=from the file
not a line of ours
LAST=no newline"""


def test_the_environment_file_is_read_as_systemd_reads_it_and_the_shell_goes_before_it(tmp_path: Path) -> None:
    path = tmp_path / "service.env"
    path.write_text(ENVIRONMENT, encoding="utf-8")

    show = "import json, os; print(json.dumps(dict(os.environ)))"
    read_it = f'. {ROOT}/ops/lib/service.sh; read_environment "$0"; "$1" -c "$2"'
    said = subprocess.run(
        ["bash", "-euc", read_it, path, sys.executable, show],
        env={"PATH": os.environ["PATH"], "OURS": "from the shell", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=True,
    )

    read = json.loads(said.stdout)
    assert {name: read[name] for name in ("PLAIN", "QUOTED", "SINGLE", "EMPTY", "OURS", "LAST")} == {
        "PLAIN": "one two",
        "QUOTED": "with = and # in it",
        "SINGLE": "$HOME stays",
        "EMPTY": "",
        "OURS": "from the shell",
        "LAST": "no newline",
    }


def test_an_environment_file_that_was_named_and_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    said = script("watch", "--once", environment={"GENERATION_ENV_FILE": str(tmp_path / "none.env")})

    assert said.returncode == 2
    assert "none.env" in said.stderr


# A real service


@pytest.fixture
def durable(database_url: str, redis_server: EmbeddedRedis, tmp_path: Path) -> Iterator[Stack]:
    """API and worker in durable mode."""
    settings = {"USE_DURABLE_WORKER": "true", "REDIS_URL": redis_server.url, "ROLLBACK_TRIGGERS": "off"}
    with stack(tmp_path / "stack", database_url, **settings) as running:
        running.serve()
        running.worker()
        running.wait_for(running.submit("before")["job_id"], "completed")
        yield running


def of(service: Stack) -> dict[str, str]:
    """The environment of a service as its file would give it to a script."""
    return {name: value for name, value in service.environment().items() if name not in {"PATH", "HOME", "LANG"}}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_way_there_and_back(durable: Stack, tmp_path: Path) -> None:
    # Given a service's environment in a file, and a shell that knows nothing of it
    file = tmp_path / "service.env"
    file.write_text("".join(f'{name}="{value}"\n' for name, value in of(durable).items()), encoding="utf-8")
    known = {"GENERATION_ENV_FILE": str(file)}
    assert script("verify-rollback", "--quick", environment=known).returncode == 1  # jobs go to RQ

    # When it is rolled back
    back = script("rollback", "--reason", "a test", environment=known)

    # Then each step has its line and its time, and the API says so too
    assert back.returncode == 0, back.stdout + back.stderr
    lines = back.stdout.splitlines()
    for step in ("flag", "migrate", "sync", "verify", "report"):
        assert any(step in line.split() and " s " in line for line in lines), step
    assert lines[-1].endswith("worker_system enabled false, type background_tasks.")
    verified = script("verify-rollback", "--json", environment=known)
    assert verified.returncode == 0, verified.stdout
    told = json.loads(verified.stdout)
    assert (told["verified"], told["failed"], len(told["findings"])) == (True, 0, 14)

    # And the dashboard shows it, and a second call changes nothing
    seen = json.loads(script("watch", "--once", "--json", environment=known).stdout)
    assert seen["mode"]["type"] == "background_tasks"
    assert [one["state"] for one in seen["processes"] if one["role"] == "worker"] == ["standby"]
    assert {seen["ledger"][name] for name in ("lost", "duplicated", "unexplained")} == {0}
    assert script("rollback", "--reason", "again", environment=known).returncode == 0

    # When it is rolled forward, through its gates
    assert script("rollforward", "--reason", "well again", environment=known).returncode == 1
    forward = script("rollforward", "--reason", "well again", *CRITERIA, environment=known)

    # Then jobs go to RQ, and a verification of a rollback fails for that
    assert forward.returncode == 0, forward.stdout + forward.stderr
    assert forward.stdout.splitlines()[-1].endswith("worker_system enabled true, type rq.")
    failed = json.loads(script("verify-rollback", "--quick", "--json", environment=known).stdout)
    assert {one["check"] for one in failed["findings"] if one["outcome"] == "failed"} >= {"flag", "workers_gone"}


def test_a_rollback_needs_neither_the_api_nor_redis(durable: Stack, redis_server: EmbeddedRedis) -> None:
    durable.kill_all()
    redis_server.kill()

    back = script("rollback", "--reason", "all is down", environment=of(durable))

    assert back.returncode == 0, back.stdout + back.stderr
    assert "could not be asked" in back.stdout.splitlines()[-1]
    durable.serve()
    assert durable.http.get("/health").json()["worker_system"]["type"] == "background_tasks"


def test_a_dry_run_changes_nothing_and_json_is_all_that_is_said(durable: Stack) -> None:
    preview = script("rollback", "--reason", "a look", "--dry-run", "--json", environment=of(durable))

    assert preview.returncode == 0
    assert isinstance(json.loads(preview.stdout), dict)
    assert durable.http.get("/health").json()["worker_system"]["type"] == "rq"


def test_a_database_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    environment = {"DATABASE_URL": f"sqlite:///{tmp_path / 'none.db'}", "REDIS_PORT": "1"}

    back = script("rollback", "--reason", "x", environment=environment)

    assert back.returncode in {1, 2}
    assert len(back.stderr.splitlines()) == 1
    assert script("watch", "--once", environment=environment).returncode == 1


@pytest.mark.slow
def test_a_backlog_of_long_jobs_does_not_hold_up_a_verification(database_url: str, tmp_path: Path) -> None:
    settings = {
        "BACKGROUND_MAX_CONCURRENCY": "2",
        "LLM_PROVIDER": "openai",
        "LLM_MODEL": "mock",
        "SEARCH_PROVIDER": "model",
        "REDIS_PORT": "1",
    }
    report = {"recipe": "risk_report", "corp_id": "c1"}
    with Provider() as provider, stack(tmp_path / "stack", database_url, **settings) as service:
        service.settings["LLM_BASE_URL"] = provider.base_url
        provider.hold("external")  # a script asks for no search: only the reports are held
        service.serve()
        backlog = [submit_report(service, report)["job_id"] for _ in range(6)]
        service.until(lambda: [service.job(one)["status"] for one in backlog].count("running") == 2, "2 run")

        verified = script("verify-rollback", "--quick", "--json", environment=of(service))

        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert [service.job(one)["status"] for one in backlog].count("completed") == 0


def submit_report(service: Stack, report: dict[str, str]) -> dict[str, str]:
    answer = service.http.post("/api/generation", json={"project_id": "reports", "priority": "high", **report})
    assert answer.status_code == 202, answer.text
    return dict(answer.json())
