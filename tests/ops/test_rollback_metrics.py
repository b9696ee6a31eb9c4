"""The rollback's metrics on a port of their own, and the same on /metrics of the API."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from generation_service.database import Database
from generation_service.switching.mode import Flag, Word, say
from scripts.embedded.ports import free_port
from scripts.rollback_metrics import Monitor, main
from tests.support.scripted_service import ADMIN_TOKEN, Behaviour, ScriptedService
from tests.support.settings import SettingsFor
from tests.support.stack import stack

THE_THREE = {"system_rollback_active", "rollback_performance_ratio", "rollback_errors_total"}
SCRIPT = Path("scripts/rollback_metrics.py").resolve()


def speak(database: Database, *, durable: bool) -> None:
    word = Word(flag=Flag(durable, worker_system_enabled=True), reason="t", said_by="t", source="operator")
    database.write_now(lambda connection: say(connection, word, after=0))


def url_of(database: Database) -> str:
    return database.url.render_as_string(hide_password=False)


def values(text: str) -> dict[str, float]:
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.labels
    }


@pytest.fixture
def monitor(database: Database, settings_for: SettingsFor) -> Iterator[Monitor]:
    looking = Monitor(settings_for(database_url=url_of(database)), baseline_seconds=2.0)
    yield looking
    looking.close()


@pytest.mark.parametrize(("durable", "active"), [(True, 0.0), (False, 1.0)])
def test_the_mode_is_read_from_the_database_with_no_api_and_no_redis(
    database: Database, monitor: Monitor, *, durable: bool, active: float
) -> None:
    speak(database, durable=durable)

    seen = monitor.look()

    assert seen["system_rollback_active"] == active
    assert seen["rollback_performance_ratio"] == pytest.approx(20.0)  # nobody was answered: the floor of 0.1 s
    assert (seen["rollback_errors_total"], seen["generation_redis_up"]) == (0.0, 0.0)


def test_redis_is_looked_at_too(sqlite_database: Database, settings_for: SettingsFor, redis_url: str) -> None:
    monitor = Monitor(settings_for(database_url=url_of(sqlite_database), redis_url=redis_url), baseline_seconds=2.0)
    try:
        assert monitor.look()["generation_redis_up"] == 1.0
    finally:
        monitor.close()


def test_without_a_database_the_api_is_asked(settings_for: SettingsFor) -> None:
    behaviour = Behaviour(worker_system={"enabled": True, "type": "rq"})
    with ScriptedService(behaviour) as service:
        monitor = Monitor(settings_for(api_url=service.url, admin_token=ADMIN_TOKEN), baseline_seconds=2.0)
        seen = monitor.look()
        monitor.close()

    assert (seen["system_rollback_active"], seen["generation_workers_alive"]) == (0.0, 0.0)
    assert not monitor.failed


def test_each_look_that_fails_is_an_error_and_what_is_unknown_is_left_out(settings_for: SettingsFor) -> None:
    monitor = Monitor(settings_for(api_url="http://127.0.0.1:1"), baseline_seconds=2.0)

    looks = [monitor.look(), monitor.look()]
    monitor.close()

    assert looks == [{"rollback_errors_total": 1.0}, {"rollback_errors_total": 2.0}]


# The command


def environment(url: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "DATABASE_URL": url, "REDIS_PORT": "1", "API_URL": "http://127.0.0.1:1"}


def test_it_serves_scrapes_until_it_is_told_to_end(sqlite_database: Database, tmp_path: Path) -> None:
    speak(sqlite_database, durable=False)
    port = free_port()
    with subprocess.Popen(
        [sys.executable, SCRIPT, "--port", str(port)],
        env=environment(url_of(sqlite_database)),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        said = process.stdout.readline()
        shown = values(httpx2.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=10).text)
        process.send_signal(signal.SIGTERM)
        code = process.wait(20)

    assert f":{port}/metrics" in said
    assert shown.keys() >= THE_THREE
    assert shown["system_rollback_active"] == 1.0
    assert code == 0


def test_a_port_that_is_taken_is_one_line_and_exit_code_2(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", url_of(sqlite_database))
    with ScriptedService(Behaviour()) as taken:
        code = main(["--port", taken.url.rpartition(":")[2]])

    said = capsys.readouterr().err
    assert code == 2
    assert len(said.splitlines()) == 1
    assert "--port" in said


@pytest.mark.parametrize(("language", "word"), [("C.UTF-8", "Would read"), ("ko_KR.UTF-8", "지표를 제공할")])
def test_once_json_help_and_a_dry_run(
    language: str,
    word: str,
    sqlite_database: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment(url_of(sqlite_database)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LC_ALL", language)

    assert main(["--once"]) == 0
    assert values(capsys.readouterr().out).keys() >= THE_THREE
    assert main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out).keys() >= THE_THREE
    assert main(["--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["port"] == 8090
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    capsys.readouterr()
    assert main(["--dry-run"]) == 0
    assert word in capsys.readouterr().out


def test_a_service_that_cannot_be_seen_is_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment(f"sqlite:///{tmp_path / 'none.db'}").items():
        monkeypatch.setenv(name, value)

    assert main(["--once"]) == 1
    assert "rollback_errors_total 1.0" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []  # looking has made no database


def test_the_api_shows_the_same_three(sqlite_url: str, tmp_path: Path) -> None:
    with stack(tmp_path / "stack", sqlite_url) as service:
        service.serve()
        service.submit("one")
        shown = values(service.http.get("/metrics").text)

    assert shown.keys() >= THE_THREE
    assert shown["system_rollback_active"] == 1.0
    assert shown["rollback_performance_ratio"] > 1.0
