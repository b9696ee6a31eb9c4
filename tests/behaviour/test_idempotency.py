"""One key makes one job, however many ask at once, whichever process answers."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.stack import Stack, stack

BODY = {"project_id": "p1", "episode_data": {"title": "하나"}}


@pytest.fixture
def service(database_url: str, tmp_path: Path) -> Iterator[Stack]:
    with stack(tmp_path / "stack", database_url, WORKER_SYSTEM_ENABLED="false") as running:
        running.serve("--workers", "2")
        yield running


async def post_at_once(url: str, count: int) -> list[httpx2.Response]:
    limits = httpx2.Limits(max_connections=count)
    async with httpx2.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False) as http:
        ask = [http.post("/api/generation", json=BODY, headers={"Idempotency-Key": '"k1"'}) for _ in range(count)]
        return await asyncio.gather(*ask)


async def test_two_hundred_posts_at_once_with_one_key_make_one_job(service: Stack) -> None:
    answers = await post_at_once(service.url, 200)

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert sum(answer.headers.get("Idempotent-Replayed") == "true" for answer in answers) == 199
    assert len(service.http.get("/api/generation").json()["items"]) == 1


def test_the_same_key_with_another_body_is_refused_and_a_refused_request_binds_nothing(service: Stack) -> None:
    headers = {"Idempotency-Key": "k2"}
    refused = service.http.post("/api/generation", json={**BODY, "unknown": 1}, headers=headers)
    accepted = service.http.post("/api/generation", json=BODY, headers=headers)
    other = service.http.post("/api/generation", json={**BODY, "project_id": "p2"}, headers=headers)

    assert (refused.status_code, accepted.status_code, other.status_code) == (422, 202, 422)
    assert "Idempotent-Replayed" not in accepted.headers
    assert other.json()["code"] == "idempotency_key_reused"
