"""Only the token opens the admin routes; each call is audited, and nobody can fill the audit."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Connection

import generation_service
from generation_service import texts
from generation_service.api.admin.journal import Journal
from generation_service.errors import DatabaseUnavailable
from generation_service.switching import audit, state
from generation_service.switching.audit import Entry
from tests.api.admin.conftest import TOKEN, Operator, operating
from tests.support.settings import SettingsFor

ROUTES = [
    ("GET", "worker-mode"),
    ("POST", "worker-mode"),
    ("POST", "migrate-pending-jobs"),
    ("POST", "sync-statuses"),
    ("GET", "stats"),
    ("GET", "ledger"),
    ("POST", "cleanup"),
    ("GET", "triggers"),
    ("GET", "dead-letters"),
    ("POST", "dead-letters/0/replay"),
    ("POST", "pause"),
    ("POST", "resume"),
    ("POST", "drain"),
    ("GET", "audit"),
    ("POST", "user-reports"),
    ("GET", "user-reports"),
    ("GET", "rollbacks"),
    ("GET", "rollbacks/0"),
    ("GET", "status-page"),
    ("POST", "graceful-restart"),
    ("GET", "restarts/0"),
]


async def test_without_an_admin_token_set_there_are_no_such_routes(settings_for: SettingsFor, sqlite_url: str) -> None:
    async with operating(settings_for(database_url=sqlite_url)) as operator:
        for method, path in ROUTES:
            found = await operator.http.request(method, f"/api/admin/{path}")
            nothing = await operator.http.request(method, "/api/admin/nothing")

            assert (found.status_code, found.json()["code"]) == (404, "not_found"), path
            assert _without_instance(found) == _without_instance(nothing), path


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"])
async def test_a_wrong_token_is_refused_before_anything_else(small_operator: Operator, header: str | None) -> None:
    small_operator.http.headers.pop("Authorization")
    headers = {} if header is None else {"Authorization": header}

    for method, path in ROUTES:
        answer = await small_operator.http.request(method, f"/api/admin/{path}", headers=headers, content=b"{not json")

        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), path
        assert "Bearer" in answer.headers["WWW-Authenticate"], path


def test_every_admin_route_is_tried_above(small_operator: Operator) -> None:
    there = {
        (method, re.sub(r"\{\w+\}", "0", route.path))
        for route in small_operator.app.routes
        for method in route.methods
        if route.path.startswith("/api/admin/")
    }

    assert there == {(method, f"/api/admin/{path}") for method, path in ROUTES}


def test_the_documentation_has_every_route_under_one_tag(small_operator: Operator) -> None:
    document = small_operator.app.openapi()
    operations = [
        (path, operation)
        for path, methods in document["paths"].items()
        for operation in methods.values()
        if path.startswith("/api/admin/")
    ]

    assert len(operations) == len(ROUTES)
    assert all(operation["tags"] == ["Admin"] and "401" in operation["responses"] for _, operation in operations)


async def test_a_wrong_token_is_audited_without_the_token(operator: Operator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await operator.http.post("/api/admin/pause", headers={"Authorization": "Bearer s3cret-guess"})

    (entry,) = await operator.audited("pause")

    assert (entry["actor"], entry["outcome"]) == ("admin@10.0.0.7", "unauthorized")
    assert "s3cret" not in str(entry) + caplog.text


async def test_a_flood_of_wrong_tokens_does_not_fill_the_audit(operator: Operator) -> None:
    """Given many wrong tokens in a minute, ten are entered, and in the end one that says how many more there were."""
    for _ in range(30):
        answer = await operator.http.get("/api/admin/stats", headers={"Authorization": "Bearer guess"})
        assert answer.status_code == 401

    await operator.app.state.journal.tell_left_out(all_of_it=True)

    entries = await operator.audited("stats")
    refused = [one for one in entries if one["outcome"] == "unauthorized"]
    more = [one["result"]["calls"] for one in entries if one["outcome"] == "unauthorized_more"]
    assert len(refused) + sum(more) == 30
    assert len(refused) <= 20  # ten, or twice ten where a minute ended in between
    assert more


async def test_what_was_left_out_is_told_when_the_process_ends(settings_for: SettingsFor, sqlite_url: str) -> None:
    async with operating(settings_for(database_url=sqlite_url, admin_token=TOKEN)) as operator:
        database = operator.runtime.database
        journal = Journal(database, "api@here")
        entry = Entry(actor="admin@x", action="stats", outcome="read")
        for _ in range(3):
            await journal.note(entry, kind="test", limit=1)
        journal.start()
        await journal.stop()

        entries = await operator.audited("stats")

    assert sum(one["result"].get("calls", 1) for one in entries) == 3


async def test_what_could_not_be_told_is_not_forgotten(small_operator: Operator, fail_writes: "FailWrites") -> None:
    journal = Journal(small_operator.runtime.database, "api@here")
    entry = Entry(actor="admin@x", action="stats", outcome="read")
    for _ in range(3):
        await journal.note(entry, kind="test", limit=1)

    with fail_writes(), pytest.raises(DatabaseUnavailable):
        await journal.tell_left_out(all_of_it=True)
    await journal.tell_left_out(all_of_it=True)

    entries = await small_operator.audited("stats")
    assert sum(one["result"].get("calls", 1) for one in entries) == 3


async def test_a_call_that_changes_something_has_two_entries_and_one_that_reads_has_one(operator: Operator) -> None:
    await operator.post("pause", reason="an update")
    await operator.get("stats")

    begun, done = await operator.audited("pause")
    (read,) = await operator.audited("stats")

    assert (begun["outcome"], begun["reason"], begun["result"]) == ("begun", "an update", {})
    assert (done["outcome"], done["result"]["begun"]) == ("done", begun["sequence"])
    assert done["result"]["changed"] is True
    assert (read["outcome"], read["actor"]) == ("read", "admin@10.0.0.7")
    assert (await operator.runtime.database.read(audit.verify)).intact


async def test_a_refused_call_is_audited_with_its_code(operator: Operator) -> None:
    await operator.post("worker-mode", 422, use_durable_worker=True, reason=" ")
    await operator.post("worker-mode", 422, use_durable_worker="yes", reason="why")

    entries = await operator.audited("set_mode")

    assert [(one["outcome"], one["result"].get("code")) for one in entries] == [
        ("begun", None),
        ("refused", "reason_required"),
        ("refused", "invalid_request"),
    ]


async def test_a_preview_has_one_entry_that_says_so(operator: Operator) -> None:
    await operator.post("pause", dry_run=True)

    assert [one["outcome"] for one in await operator.audited("pause")] == ["previewed"]


async def test_what_cannot_be_audited_is_not_done(small_operator: Operator, fail_writes: "FailWrites") -> None:
    with fail_writes():
        answer = await small_operator.http.post("/api/admin/pause", json={})

    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert (await small_operator.runtime.database.read(state.read_state)).paused is None


async def test_what_was_done_stays_done_where_its_end_cannot_be_entered(
    small_operator: Operator, fail_writes: "FailWrites", caplog: pytest.LogCaptureFixture
) -> None:
    """Given a database that goes away behind the action: the answer tells of it, and `begun` stands in the audit."""
    with fail_writes(after=2):  # the beginning, and the pause itself
        answer = await small_operator.http.post("/api/admin/pause", json={"reason": "why"})

    assert (answer.status_code, answer.json()["paused"]) == (200, True)
    assert [one["outcome"] for one in await small_operator.audited("pause")] == ["begun"]
    assert "could not be entered" in caplog.text


async def test_a_failure_of_ours_is_audited_as_one(small_operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(connection: Connection) -> None:
        raise RuntimeError("not foreseen")

    monkeypatch.setattr("generation_service.api.admin.figures.look", broken)

    answer = await small_operator.http.get("/api/admin/stats")

    assert answer.status_code == 500
    assert [(one["outcome"], one["result"]["code"]) for one in await small_operator.audited("stats")] == [
        ("failed", "RuntimeError")
    ]


async def test_a_body_need_not_say_that_it_is_json(small_operator: Operator) -> None:
    answer = await small_operator.http.post(
        "/api/admin/cleanup",
        content=b'{"force_gc": true, "clear_caches": true}',
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert answer.status_code == 200


@pytest.mark.parametrize("path", [path for method, path in ROUTES if method == "POST" and "0" not in path])
async def test_bad_bodies_are_refused_and_leave_no_trace_in_the_answer(small_operator: Operator, path: str) -> None:
    for body in (b"{", b"[]", b'{"unknown": 1}', b'{"dry_run": "yes"}', b'{"reason": 5}'):
        answer = await small_operator.http.post(f"/api/admin/{path}", content=body)

        assert (answer.status_code, answer.json()["code"]) in {(400, "malformed_json"), (422, "invalid_request")}, body
        assert b'unknown": 1' not in answer.content


def test_every_problem_of_operators_has_both_languages() -> None:
    root = Path(generation_service.__file__).parent
    raised = {
        code
        for path in [*(root / "api/admin").glob("*.py"), root / "switching/operator.py", root / "jobs/dead_letters.py"]
        for code in re.findall(r'Refused\(\s*"(\w+)"', path.read_text(encoding="utf-8"))
    }

    assert raised
    for code in raised:
        english, korean = (texts.text(f"problem_title.{code}", language) for language in texts.LANGUAGES)
        assert english != korean


FailWrites = Callable[..., Any]


def _without_instance(answer: httpx2.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name != "instance"}
