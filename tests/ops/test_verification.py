"""The checklist of a rollback: it passes where all is well, and each check fails where its own matter is wrong."""

import os
import socket
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import insert
from starlette.requests import Request
from starlette.responses import Response

from generation_service.database import Database
from generation_service.database.operations import processes
from generation_service.settings import Settings
from scripts.verification import load, state
from scripts.verification.__main__ import main, read_arguments, run
from scripts.verification.findings import Finding, Missed
from scripts.verification.limits import Limits
from scripts.verification.service import Service
from scripts.verification.surroundings import surroundings
from tests.support.scripted_service import ADMIN_TOKEN, Behaviour, ScriptedService, process
from tests.support.settings import SettingsFor

QUICK_LIMITS = "--json --jobs 3 --requests 20 --worker-seconds 0.1 --job-seconds 5 --answer-seconds 2"
LOAD_LIMITS = " --mean-seconds 2 --p99-seconds 4 --failure-percent 10"


def verify(settings: Settings, *options: str) -> list[Finding]:
    return run(settings, read_arguments([*(QUICK_LIMITS + LOAD_LIMITS).split(), *options]))


def failed(findings: list[Finding]) -> set[str]:
    return {one.check for one in findings if one.outcome == "failed"}


def asking(settings_for: SettingsFor, url: str, **given: Any) -> Settings:
    """Settings of a terminal that can ask nothing but the API."""
    return settings_for(api_url=url, **({"admin_token": ADMIN_TOKEN} | given))


def test_a_service_that_is_well_passes_every_check(settings_for: SettingsFor) -> None:
    with ScriptedService(Behaviour()) as service:
        findings = verify(asking(settings_for, service.url))

    assert [one.outcome for one in findings] == ["passed"] * 14
    assert set(service.asked) == {"rollback-verification high"}
    assert len(service.asked) == 1 + 3
    assert service.deleted == ["7"]  # the document that was uploaded for it


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("flag", {"worker_system": {"enabled": True, "type": "rq"}}),
    ("flag", {"worker_system": {"enabled": False, "type": "rq"}}),
    ("answers", {"answer_seconds": 2.1}),
    ("answers", {"ready_status": 503}),
    ("stream", {"ids": (1, 2, 4, 5)}),
    ("stream", {"ids": (1, 2, 2, 3)}),
    ("stream", {"ids": (2, 3, 4, 5)}),
    ("progress", {"progress": (0.0, 50.0, 40.0, 100.0)}),
    ("progress", {"progress": (0.0, 50.0, 75.0, 75.0)}),
    ("progress", {"job_seconds": 30.0}),
    ("script", {"ending": "failed"}),
    ("script", {"text": " \n"}),
    ("episode", {"number_skipped": 1}),
    ("episode", {"saved_for": "another"}),
    ("document", {"document": "failed"}),
    ("document", {"document": "processing"}),
    ("in_a_row", {"row": ("completed", "failed")}),
    ("failures", {"list_statuses": (200, 200, 200, 500)}),
    ("workers_gone", {"processes": [process("api", "serving", 100), process("worker", "serving", 50)]}),
    ("workers_gone", {"processes": [process("api", "serving", 100), process("worker", "draining", 50)]}),
    ("memory", {"processes": [process("api", "serving", 100), process("api", "serving", 501)]}),
    ("memory", {"processes": []}),
]


@pytest.mark.parametrize(("check", "behaviour"), WRONG, ids=[f"{name}-{next(iter(how))}" for name, how in WRONG])
def test_one_thing_that_is_wrong_fails_its_own_check_and_no_other(
    check: str, behaviour: dict[str, Any], settings_for: SettingsFor
) -> None:
    patience = ["--job-seconds", "0.5"] if check == "document" else []
    with ScriptedService(replace(Behaviour(), **behaviour)) as service:
        findings = verify(asking(settings_for, service.url), *patience)

    assert failed(findings) == {check}
    told = next(one.as_json() for one in findings if one.outcome == "failed")
    assert told["limit"]
    assert told["note"]


@pytest.mark.parametrize(
    ("tokens", "presented"),
    [
        ({"api_tokens": {"first": "ana", "second": "ben"}}, "Bearer first"),
        ({"api_tokens": {"first": "ana"}, "api_token": "mine"}, "Bearer mine"),
        ({}, None),
    ],
)
def test_the_service_is_asked_with_a_token_that_it_takes(
    tokens: dict[str, Any], presented: str | None, settings_for: SettingsFor
) -> None:
    with ScriptedService(Behaviour()) as scripted:
        service = Service.of(settings_for(api_url=scripted.url, **tokens))
        service.submit("one")
        service.close()

    assert scripted.tokens == {presented}


def test_jobs_that_run_elsewhere_fail_what_is_about_jobs(settings_for: SettingsFor) -> None:
    with ScriptedService(Behaviour(backend="rq")) as service:
        findings = verify(asking(settings_for, service.url))

    assert failed(findings) == {"in_process", "in_a_row"}


def test_a_slow_list_fails_the_mean_and_the_percentile(settings_for: SettingsFor) -> None:
    with ScriptedService(Behaviour(list_seconds=0.4)) as service:
        findings = verify(asking(settings_for, service.url), "--mean-seconds", "0.3", "--p99-seconds", "0.3")

    assert failed(findings) == {"mean", "p99"}


def test_few_slow_answers_fail_the_percentile_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [load.Answer(0.01, ok=True)] * 97 + [load.Answer(12.0, ok=True)] * 3
    monkeypatch.setattr(load, "ask", lambda _service, _limits: answers)

    findings = load.findings(Service("http://127.0.0.1:1"), Limits())

    assert [one.outcome for one in findings] == ["passed", "failed", "passed"]


@pytest.mark.parametrize(
    ("share", "value"), [(0.99, 99), (0.5, 50), (0.01, 1), (1.0, 100)], ids=["p99", "median", "least", "most"]
)
def test_a_percentile_is_the_value_of_its_rank(share: float, value: int) -> None:
    assert load.percentile(list(range(100, 0, -1)), share) == value


def test_a_service_that_takes_no_jobs_fails_what_needs_one_and_says_why(settings_for: SettingsFor) -> None:
    with ScriptedService(Behaviour(accepts=False)) as service:
        findings = verify(asking(settings_for, service.url))

    assert failed(findings) == {"in_process", "stream", "progress", "script", "episode", "in_a_row"}
    assert {one.params["status"] for one in findings if one.outcome == "failed"} == {503}


def test_where_nobody_answers_no_check_passes(settings_for: SettingsFor) -> None:
    findings = verify(asking(settings_for, "http://127.0.0.1:1"))

    assert {one.outcome for one in findings} == {"failed"}


def test_without_a_token_and_without_a_database_nothing_is_said_of_workers(settings_for: SettingsFor) -> None:
    with ScriptedService(Behaviour()) as service:
        findings = verify(asking(settings_for, service.url, admin_token=None))

    assert failed(findings) == {"workers_gone", "memory"}
    assert {one.note for one in findings if one.outcome == "failed"} == {"no_admin_token"}


def test_a_stream_that_breaks_off_is_read_on_from_where_it_was() -> None:
    class Cut(ScriptedService):
        """Ends each connection after two events, as a process does that is being replaced."""

        async def _events(self, request: Request) -> Response:
            after = int(request.headers.get("Last-Event-ID", 0))
            rest = [number for number in (1, 2, 3, 4) if number > after][:2]
            self.behaviour.ids, self.behaviour.progress = tuple(rest), tuple(25.0 * number for number in rest)
            self.behaviour.ending = "completed" if 4 in rest else "progress"
            return await super()._events(request)

    with Cut(Behaviour()) as scripted:
        service = Service(scripted.url)
        arrived = service.follow(service.submit("cut")["job_id"], 5.0)
        service.close()

    assert [one.id for one in arrived] == ["1", "2", "3", "4"]


def test_a_stream_without_an_ending_is_given_up() -> None:
    with ScriptedService(Behaviour(ending="progress")) as scripted:
        service = Service(scripted.url)
        with pytest.raises(Missed, match="stream_without_end"):
            service.follow(service.submit("endless")["job_id"], 0.3)
        service.close()


# What the database says of processes


def row(role: str, process_state: str, rss_bytes: int = 1024) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "name": f"{role}@{process_state}",
        "role": role,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "state": process_state,
        "figures": {"rss_bytes": rss_bytes},
        "started_at": now,
        "seen_at": now,
    }


def worker_check(settings: Settings, **asked: Any) -> Finding:
    service = Service("http://127.0.0.1:1")
    with surroundings(settings) as told:
        return state.workers_gone(service, told, Limits(worker_seconds=0.2), **({"kept": False} | asked))


@pytest.mark.parametrize(
    ("process_state", "outcome"),
    [("serving", "failed"), ("draining", "failed"), ("starting", "failed"), ("standby", "passed")],
)
def test_only_workers_on_standby_may_be_there(
    process_state: str, outcome: str, database: Database, settings_for: SettingsFor
) -> None:
    database.write_now(lambda connection: connection.execute(insert(processes).values(row("worker", process_state))))

    finding = worker_check(settings_for(database_url=database.url.render_as_string(hide_password=False)))

    assert finding.outcome == outcome


def test_a_worker_that_only_redis_knows_is_there_too(
    sqlite_database: Database, settings_for: SettingsFor, redis_url: str
) -> None:
    settings = settings_for(database_url=str(sqlite_database.url), redis_url=redis_url)
    assert worker_check(settings).outcome == "passed"
    with Redis.from_url(redis_url) as client:
        client.sadd("rq:workers", "rq:worker:stock", "rq:worker:long-gone")
        client.hset("rq:worker:stock", "hostname", "elsewhere")

    finding = worker_check(settings)

    assert (finding.outcome, finding.params["names"]) == ("failed", "stock")


def test_workers_that_were_to_be_kept_are_not_looked_for(sqlite_database: Database, settings_for: SettingsFor) -> None:
    sqlite_database.write_now(lambda connection: connection.execute(insert(processes).values(row("worker", "serving"))))

    finding = worker_check(settings_for(database_url=str(sqlite_database.url)), kept=True)

    assert finding.outcome == "skipped"


# The command


def test_a_dry_run_asks_nothing_of_anybody(settings_for: SettingsFor) -> None:
    with ScriptedService(Behaviour()) as service:
        findings = verify(asking(settings_for, service.url), "--dry-run")

    assert {one.outcome for one in findings} == {"skipped"}
    assert service.asked == []


def test_the_quick_list_leaves_out_the_row_and_the_load(settings_for: SettingsFor) -> None:
    with ScriptedService(Behaviour()) as service:
        findings = verify(asking(settings_for, service.url), "--quick")

    assert {one.check for one in findings} == {
        *("flag", "answers", "in_process", "stream", "progress", "script", "episode"),
        *("workers_gone", "document", "memory"),
    }


@pytest.mark.parametrize("option", ["--jobs 0", "--mean-seconds nan", "--requests many", "--no-such-option"])
def test_wrong_use_is_exit_code_2(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(option.split())

    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err
