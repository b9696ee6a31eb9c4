"""Before a restart a child process finds out whether a new process would start, as things are now."""

from pathlib import Path

import pytest

from generation_service.switching.rehearsal import rehearse

pytestmark = pytest.mark.timeout(180)

_VARIABLES = ("DATABASE_URL", "REDIS_URL", "HOST", "PORT", "API_TOKENS", "ADMIN_TOKEN", "BACKGROUND_MAX_CONCURRENCY")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh working directory, and nothing of this machine's configuration."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_a_configuration_that_holds_has_nothing_said_against_it(folder: Path) -> None:
    (folder / ".env").write_text("BACKGROUND_MAX_CONCURRENCY=3\n")

    assert await rehearse() == []


async def test_the_file_is_read_as_it_is_now_and_each_wrong_line_is_named(folder: Path) -> None:
    assert await rehearse() == []
    (folder / ".env").write_text("BACKGROUND_MAX_CONCURRENCY=many\nJOB_LEASE_SECONDS=0\n")

    lines = await rehearse()

    assert [line.partition(":")[0] for line in lines] == ["BACKGROUND_MAX_CONCURRENCY", "JOB_LEASE_SECONDS"]


async def test_the_environment_goes_before_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("BACKGROUND_MAX_CONCURRENCY=many\n")
    monkeypatch.setenv("BACKGROUND_MAX_CONCURRENCY", "3")

    assert await rehearse() == []


@pytest.mark.parametrize(
    "line",
    [
        "DATABASE_URL=postgresql://ana:hush-hush@127.0.0.1:1/none",
        "DATABASE_URL=mysql://ana:hush-hush@127.0.0.1/none",
        "REDIS_URL=redis://:hush-hush@host:99999/5",
        "REDIS_URL=http://:hush-hush@host",
        'API_TOKENS={"hush-hush token": "ana"}',
        "HOST=0.0.0.0\nLLM_API_KEY=hush-hush",
        "LLM_PROVIDER=openai\nLLM_API_KEY=hush-hush",
    ],
)
async def test_what_would_keep_a_process_from_starting_is_said_without_secrets(folder: Path, line: str) -> None:
    (folder / ".env").write_text(f"{line}\n")

    lines = await rehearse()

    assert lines
    assert "hush-hush" not in "".join(lines)
    assert "Traceback" not in "".join(lines)


async def test_a_broken_installation_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an upgrade that went wrong: the processes that run have loaded what was there before."""
    (folder / "broken").mkdir()
    (folder / "broken" / "fastapi.py").write_text("import no_such_library\n")
    monkeypatch.setenv("PYTHONPATH", str(folder / "broken"))

    assert await rehearse() == ["ModuleNotFoundError: No module named 'no_such_library'"]


async def test_a_start_that_hangs_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "slow").mkdir()
    (folder / "slow" / "fastapi.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", str(folder / "slow"))

    assert await rehearse(0.5) == ["a new process was not ready within 0.5 seconds"]
