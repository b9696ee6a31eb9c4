"""Each rollback's report can be had as JSON, YAML and Markdown; a restart needs somebody who keeps the process."""

from typing import Any

import pytest

from generation_service.switching.asked import Rollback
from tests.api.admin.conftest import Operator


@pytest.fixture
async def rolled_back(operator: Operator) -> str:
    """The id of a rollback that was carried out with Redis unreachable."""
    await operator.post("pause")
    await operator.post("worker-mode", use_durable_worker=True, reason="RQ is back")
    await operator.submit()
    wanted = Rollback(reason="Redis is gone", said_by="cli:ana")
    return (await operator.runtime.operations.switchover.rollback(wanted)).id


async def test_a_rollback_is_listed_with_its_report(operator: Operator, rolled_back: str) -> None:
    (item,) = (await operator.get("rollbacks"))["items"]

    assert (item["id"], item["kind"], item["reason"]) == (rolled_back, "rollback", "Redis is gone")
    assert item["rollback_report"]["root_cause"] == "Redis is gone"


async def test_rollbacks_come_in_pages(operator: Operator, rolled_back: str) -> None:
    again = await operator.runtime.operations.switchover.rollback(Rollback(reason="again", said_by="cli:ana"))

    first = await operator.get("rollbacks", limit=1)
    second = await operator.get("rollbacks", limit=1, cursor=first["next_cursor"])

    assert [page["items"][0]["id"] for page in (first, second)] == [again.id, rolled_back]


@pytest.mark.parametrize(
    ("query", "accept", "media_type", "begins"),
    [
        ("", "*/*", "application/json", "{"),
        ("", "application/json", "application/json", "{"),
        ("", "application/yaml", "application/yaml", "rollback_report:"),
        ("", "text/markdown", "text/markdown; charset=utf-8", "#"),
        ("", "text/markdown;q=0.5, application/yaml", "application/yaml", "rollback_report:"),
        ("?format=yaml", "application/json", "application/yaml", "rollback_report:"),
        ("?format=markdown", "*/*", "text/markdown; charset=utf-8", "#"),
        ("?format=json", "text/markdown", "application/json", "{"),
    ],
)
async def test_a_report_comes_as_it_is_asked_for(
    operator: Operator, rolled_back: str, *, query: str, accept: str, media_type: str, begins: str
) -> None:
    answer = await operator.http.get(f"/api/admin/rollbacks/{rolled_back}{query}", headers={"Accept": accept})

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media_type)
    assert answer.text.startswith(begins)
    assert "Redis is gone" in answer.text
    assert "Accept" in answer.headers["Vary"]


async def test_a_report_speaks_the_callers_language(operator: Operator, rolled_back: str) -> None:
    path = f"/api/admin/rollbacks/{rolled_back}?format=markdown"

    english, korean = [
        (await operator.http.get(path, headers={"Accept-Language": language})).text for language in ("en", "ko")
    ]

    assert english != korean


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("rollbacks/nothing", {}, 404, "switch_not_found"),
        ("rollbacks/019a0000-0000-7000-8000-000000000000", {}, 404, "switch_not_found"),
        ("rollbacks?cursor=5", {}, 422, "invalid_cursor"),
        ("rollbacks?limit=0", {}, 422, "invalid_request"),
        ("rollbacks/0?format=pdf", {}, 422, "invalid_request"),
        ("restarts/nothing", {}, 404, "restart_not_found"),
    ],
)
async def test_what_is_not_there_is_said(
    operator: Operator, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await operator.http.get(f"/api/admin/{path}", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_format_that_there_is_not_is_not_acceptable(operator: Operator, rolled_back: str) -> None:
    answer = await operator.http.get(f"/api/admin/rollbacks/{rolled_back}", headers={"Accept": "image/png"})

    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")


async def test_the_status_page_says_why_jobs_run_in_process(operator: Operator, rolled_back: str) -> None:
    answer = await operator.http.get("/api/admin/status-page")

    assert answer.headers["Content-Type"].startswith("text/markdown")
    assert "ROLLBACK MODE" in answer.text
    assert "Redis is gone" in answer.text


@pytest.mark.parametrize("body", [{}, {"reason": "why"}, {"dry_run": True}, {"use_durable_worker": False}])
async def test_a_process_that_nobody_keeps_is_not_restarted(operator: Operator, body: dict[str, Any]) -> None:
    before = await operator.get("worker-mode")

    refused = await operator.post("graceful-restart", 409, **body)

    assert refused["code"] == "not_supervised"
    assert await operator.get("worker-mode") == before
    outcomes = [one["outcome"] for one in await operator.audited("graceful_restart")]
    assert outcomes == (["refused"] if body.get("dry_run") else ["begun", "refused"])
