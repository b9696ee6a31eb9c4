"""Bad input: each a 4xx problem with a stable code and a sentence that says what to do, and no trace left behind."""

import asyncio
import json
import re
import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import generation_service
from generation_service import texts
from generation_service.errors import DatabaseUnavailable
from tests.api.conftest import BODY, Api, ApiRuntime, GenerationToy, Served, api_over
from tests.support.settings import SettingsFor

URL = "/api/generation"
JSON = {"Content-Type": "application/json"}


def check_problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    problem = dict(answer.json())
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert set(problem) >= {"type", "title", "status", "detail", "instance", "code"}
    assert problem["instance"].endswith(answer.headers["X-Request-Id"])
    assert len(problem["detail"]) > 20
    return problem


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b"\xff\xfe{}", 400, "malformed_json"),
        (b"[" * 100_000, 400, "malformed_json"),
        (b'{"project_id": NaN}', 400, "malformed_json"),
        (b"[]", 422, "invalid_request"),
        (b'"text"', 422, "invalid_request"),
        (b"null", 422, "invalid_request"),
        (b"{}", 422, "invalid_request"),
        (b'{"recipe": 5}', 422, "invalid_request"),
        (b'{"recipe": "soup"}', 422, "unknown_recipe"),
        (json.dumps(BODY | {"secret": 1}).encode(), 422, "invalid_request"),
        (json.dumps(BODY | {"project_id": "a/../b"}).encode(), 422, "invalid_request"),
        (json.dumps(BODY | {"project_id": "a b"}).encode(), 422, "invalid_request"),
        (json.dumps(BODY | {"project_id": ""}).encode(), 422, "invalid_request"),
        (json.dumps(BODY | {"project_id": "a\0"}).encode(), 422, "invalid_request"),
        (json.dumps(BODY | {"project_id": "x" * 201}).encode(), 422, "invalid_request"),
        (json.dumps(BODY | {"project_id": 7}).encode(), 422, "invalid_request"),
        (json.dumps(BODY | {"episode_data": {"title": "x" * 100_000}}).encode(), 422, "invalid_request"),
        (json.dumps(BODY | {"episode_data": {"title": "\ud800"}}).encode(), 422, "invalid_request"),
        (json.dumps(BODY | {"episode_data": {"title": ""}}).encode(), 422, "invalid_request"),
        (json.dumps(BODY | {"priority": "urgent"}).encode(), 422, "invalid_request"),
        (json.dumps(BODY | {"max_attempts": 0}).encode(), 422, "invalid_request"),
        (json.dumps(BODY | {"max_attempts": "3"}).encode(), 422, "invalid_request"),
        (b'{"budget_tokens": ' + b"9" * 5000 + b"}", 422, "invalid_request"),
        (b'{"project_id": "p", "episode_data": ' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}", 422, "invalid_request"),
        (b" " * (1024 * 1024 + 1), 413, "body_too_large"),
    ],
)
async def test_a_bad_body_is_a_problem_and_leaves_no_trace(small_api: Api, body: bytes, status: int, code: str) -> None:
    answer = await small_api.http.post(URL, content=body, headers=JSON | {"Idempotency-Key": "k"})

    check_problem(answer, status, code)
    assert (await small_api.http.get(URL)).json()["items"] == []
    assert (
        "Idempotent-Replayed"
        not in (await small_api.http.post(URL, json=BODY, headers={"Idempotency-Key": "k"})).headers
    )


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
async def test_a_body_that_does_not_say_it_is_json_is_415(small_api: Api, content_type: str) -> None:
    answer = await small_api.http.post(URL, content=json.dumps(BODY), headers={"Content-Type": content_type})

    check_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=x",
        f"limit={10**30}",
        "status=lost",
        "backend=celery",
        "project_id=%00",
        "project_id=a%20b",
        "created_after=yesterday",
        "created_after=0001-01-01T00:00:00%2B14:00",
        "cursor=x",
        "cursor=%00",
        "cursor=%ff%fe",
        "cursor=" + "x" * 300,
    ],
)
async def test_a_bad_parameter_of_a_list_is_422(api: Api, query: str) -> None:
    answer = await api.http.get(f"{URL}?{query}")

    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] in {"invalid_request", "invalid_cursor"}


@pytest.mark.parametrize("path", ["a%20b", "%00", "..", "x" * 201])
async def test_a_project_with_odd_characters_is_refused(small_api: Api, path: str) -> None:
    assert (await small_api.http.get(f"/api/projects/{path}/episodes")).status_code in {404, 422}


async def test_nothing_that_was_sent_is_sent_back(small_api: Api) -> None:
    body = {
        "project_id": "S3CRET !",
        "S3CRET": 1,
        "episode_data": {"title": 5, "S3CRET": "S3CRET"},
        "priority": "S3CRET",
    }

    answers = [
        await small_api.http.post(URL, json=body),
        await small_api.http.post(URL, content=b'{"S3CRET', headers=JSON),
        await small_api.http.get(f"{URL}?status=S3CRET&limit=S3CRET"),
        await small_api.http.get("/S3CRET"),
        await small_api.http.get(f"{URL}/S3CRET"),
        await small_api.http.post(URL, json=BODY, headers={"Idempotency-Key": "S3CRET" * 50}),
    ]

    assert all(400 <= answer.status_code < 500 for answer in answers)
    for answer in answers:
        assert "S3CRET" not in answer.text + str(answer.headers)


async def test_problems_are_in_the_callers_language(small_api: Api) -> None:
    answer = await small_api.http.get(f"{URL}/x", headers={"Accept-Language": "ko"})

    assert answer.headers["Content-Language"] == "ko"
    assert answer.json()["title"] == "작업을 찾을 수 없습니다"


async def test_an_unknown_address_and_an_unknown_method_are_problems(small_api: Api) -> None:
    check_problem(await small_api.http.get("/nowhere"), 404, "not_found")
    answer = await small_api.http.delete(URL)
    check_problem(answer, 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (URL, "GET, HEAD, POST"),
        (f"{URL}/x", "GET, HEAD"),
        (f"{URL}/x/cancel", "POST"),
        ("/api/v1/documents/x/status", "GET, HEAD"),
        ("/livez", "GET, HEAD"),
    ],
)
async def test_a_method_that_is_not_allowed_is_told_all_that_are(small_api: Api, path: str, allowed: str) -> None:
    answer = await small_api.http.delete(path)

    assert answer.headers["Allow"] == allowed


async def test_a_failure_of_ours_is_500_with_a_number_and_no_details(
    small_api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("S3CRET detail")

    monkeypatch.setattr(small_api.runtime.jobs, "submit", broken)

    answer = await small_api.http.post(URL, json=BODY)

    check_problem(answer, 500, "internal_error")
    assert "S3CRET" not in answer.text
    assert "S3CRET detail" in caplog.text


async def test_a_database_that_is_away_is_503_with_retry_after(small_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(small_api.runtime.jobs, "submit", away)

    answer = await small_api.http.post(URL, json=BODY)

    check_problem(answer, 503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_body_over_the_limit_gets_its_answer_over_a_real_connection(server: Served) -> None:
    big = b" " * (4 * 1024 * 1024)

    async def chunks() -> Any:
        for start in range(0, len(big), 65536):
            yield big[start : start + 65536]

    check_problem(await server.http.post(URL, content=big, headers=JSON), 413, "body_too_large")
    check_problem(await server.http.post(URL, content=chunks(), headers=JSON), 413, "body_too_large")


def send_all_then_read(port: int, head: str, body: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head.encode() + body)
        return connection.recv(4096)


async def test_a_caller_that_sends_all_before_it_reads_gets_its_answer_too(server: Served) -> None:
    size = 8 * 1024 * 1024
    head = (
        f"POST {URL} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    )

    answer = await asyncio.to_thread(send_all_then_read, server.port, head, b" " * size)

    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_value_that_could_not_be_stored_is_refused_before_anything_is_looked_up(small_api: Api) -> None:
    answer = await small_api.http.post(f"{URL}/x/retry", content=b'{"from_step": "\\u0000"}', headers=JSON)

    problem = check_problem(answer, 422, "invalid_request")
    assert problem["errors"][0]["code"] == "unusable_character"


async def test_without_a_token_every_route_but_health_is_401(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime, kind: GenerationToy
) -> None:
    runtime = ApiRuntime(settings_for(api_tokens={"a": "ana"}), sqlite_runtime.database, kind)
    async with api_over(runtime) as api:
        paths = api.app.openapi()["paths"]
        for path, operations in paths.items():
            for method in operations:
                url = path.replace("{number}", "1").replace("{project_id}", "p")
                answer = await api.http.request(method, url, headers={"Authorization": "Bearer wrong"})
                if path in {"/livez", "/readyz", "/health", "/metrics"}:
                    assert answer.status_code == 200
                else:
                    check_problem(answer, 401, "unauthorized")
                    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_every_code_that_is_raised_has_a_text() -> None:
    root = Path(generation_service.__file__).parent
    raised = {
        code
        for path in root.rglob("*.py")
        for code in re.findall(r'Refused\(\s*"(\w+)"', path.read_text(encoding="utf-8"))
    }

    assert len(raised) > 10
    assert [code for code in sorted(raised) if not texts.has_text(f"problem.{code}")] == []
    assert [code for code in sorted(raised) if not texts.has_text(f"problem_title.{code}")] == []


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(alphabet=st.characters())
    | st.sampled_from(["script", "risk_report", "harbour", "high", "The letter", "\0", "\ud800", "x" * 30_000]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ("project_id", "episode_data", "recipe", "priority", "max_attempts", "budget_tokens", "corp_id", "title")
BODIES = JSON_VALUES | st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES, max_size=6).map(lambda body: BODY | body)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=BODIES.map(json.dumps).map(str.encode) | st.binary(max_size=200))
async def test_no_body_at_all_makes_a_500(small_api: Api, raw: bytes) -> None:
    answer = await small_api.http.post(URL, content=raw, headers=JSON)

    assert answer.status_code in {202, 400, 413, 422}, answer.text


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.binary(max_size=300).filter(lambda key: not {0, 10, 13} & set(key)),
    query=st.text(st.characters(codec="utf-8"), max_size=40),
)
async def test_no_header_and_no_query_makes_a_500(small_api: Api, key: bytes, query: str) -> None:
    names = (b"idempotency-key", b"prefer", b"accept-language", b"authorization", b"last-event-id", b"cookie")
    headers = [(name, key) for name in names] + [(b"content-type", b"application/json")]

    submitted = await small_api.http.post(URL, content=json.dumps(BODY), headers=headers)
    listed = await small_api.http.get(URL, params=dict.fromkeys(("cursor", "status", "project_id", "limit"), query))

    assert submitted.status_code in {202, 400}
    assert listed.status_code in {200, 422}
