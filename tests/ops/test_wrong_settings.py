"""A wrong setting is told in one line, in the language of the terminal, and in none of pydantic's sentences."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from generation_service.errors import ConfigurationError
from generation_service.settings import Settings, load_settings

# What only a check of our own refuses.
WRONG = {
    "alert_webhook_url": "ftp://S3CRET",
    "api_tokens": "S3CRET",
    "api_url": "ftp://S3CRET",
    "database_url": "mysql://S3CRET",
    "embedding_base_url": "ftp://S3CRET",
    "host": "",
    "llm_base_url": "ftp://S3CRET",
    "ocr_command": "tesseract 'open",
    "program_retry_cron": "daily",
    "program_retry_daily_cron": "daily",
    "program_retry_delays_seconds": "soon",
    "prune_cron": "daily",
    "redis_host": "",
    "redis_url": "http://S3CRET",
    "rollback_webhook_url": "ftp://S3CRET",
    "s3_endpoint_url": "ftp://S3CRET",
    "search_base_url": "ftp://S3CRET",
    "storage_url": "ftp://there",
    "timezone": "Asia/Nowhere",
}
# What takes any text, or a name that only the one it is for can judge.
ANY_TEXT = {
    "admin_token",
    "api_token",
    "durable_worker_projects",
    "embedding_api_key",
    "embedding_model",
    "llm_api_key",
    "llm_model",
    "ocr_languages",
    "rollback_command",
    "rollback_dry_run",
}
BOUNDS = {"ge": -1.0, "gt": 0.0, "le": 1.0, "lt": 1.0}


def wrong_values() -> list[tuple[str, str]]:
    """Each setting with a value of the wrong kind, and with one beyond each of its bounds."""
    found = []
    for name, field in Settings.model_fields.items():
        if name not in ANY_TEXT:
            found.append((name, WRONG.get(name, "nonsense")))
        for bound in field.metadata:
            for side, step in BOUNDS.items():
                if (limit := getattr(bound, side, None)) is not None:
                    found.append((name, f"{limit + step:g}"))
        if field.annotation is float:
            found.append((name, "inf"))
    return found


def line_about(name: str, value: str, locale: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for one in Settings.model_fields:
        monkeypatch.delenv(one.upper(), raising=False)
    monkeypatch.setenv("LC_ALL", locale)
    monkeypatch.setenv(name.upper(), value)
    with pytest.raises(ConfigurationError) as refused:
        load_settings(None)
    return refused.value.message


@pytest.mark.parametrize(("name", "value"), wrong_values())
def test_each_wrong_value_is_told_in_the_terminals_language(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    english = line_about(name, value, "C.UTF-8", monkeypatch)
    korean = line_about(name, value, "ko_KR.UTF-8", monkeypatch)

    assert english.startswith(f"{name.upper()}: got ")
    assert "; takes " in english
    assert korean.startswith(f"{name.upper()}: 받은 값 ")
    assert "takes" not in korean
    for line in (english, korean):
        assert "\n" not in line
        assert "Input should" not in line
        assert "S3CRET" not in line
    told = korean.rpartition(". ")[2]
    assert any("가" <= letter <= "힣" for letter in told), korean


@pytest.mark.parametrize(
    "given", [{"llm_provider": "openai"}, {"embedding_model": "m"}, {"search_provider": "searxng"}]
)
def test_settings_that_do_not_fit_together_are_told_in_the_terminals_language(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ((name, value),) = given.items()

    assert line_about(name, value, "ko_KR.UTF-8", monkeypatch).endswith("합니다")
    assert line_about(name, value, "C.UTF-8", monkeypatch).isascii()


@pytest.mark.parametrize(
    "url", ["sqlite+nosuch:///S3CRET.db", "postgresql+asyncpg://S3CRET@db/x", "sqlite", "sqlite:x"]
)
def test_a_database_url_with_a_driver_that_is_not_used_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line = line_about("database_url", url, "C.UTF-8", monkeypatch)

    assert all(one in line for one in ("sqlite:///", "postgresql://", "sqlite+pysqlite", "postgresql+psycopg"))
    assert "S3CRET" not in line


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///var/x.db",
        "sqlite+pysqlite:////srv/x.db",
        "postgresql://",
        "postgresql://user@/db?host=/run/postgresql",
        "postgresql+psycopg://user:password@host:5432/db",
    ],
)
def test_a_database_url_without_a_driver_or_with_the_one_that_is_used_is_taken(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)

    assert load_settings(None).database_url == url


def test_the_command_line_prints_it_in_korean_on_a_korean_terminal(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("generation-service")
    environment = {"PATH": "/usr/bin:/bin", "LANG": "ko_KR.UTF-8", "PORT": "abc"}
    ran = subprocess.run(
        [program, "serve"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
    )

    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines() == ["PORT: 받은 값 'abc'. 정수 형식이어야 합니다"]
