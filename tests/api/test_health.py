"""Health, metrics and the description of the API."""

import asyncio
import json
import logging
import socket
import time
from contextlib import closing
from itertools import chain, repeat

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import TypeAdapter

from generation_service.api.application import create_app
from generation_service.api.health import _Look
from generation_service.api.models import HealthModel, SystemInfo, TicketModel
from generation_service.errors import ConfigurationError, DatabaseUnavailable
from generation_service.switching.mode import Flag, environment_says
from tests.api.conftest import Api, ApiRuntime, NoRedis, Served
from tests.support.settings import SettingsFor
from workers.rq_adapter import RqBackend


def series(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_all_is_well(small_api: Api) -> None:
    health = await small_api.http.get("/health")

    TypeAdapter(HealthModel).validate_python(health.json())
    assert (health.status_code, health.json()["status"]) == (200, "ok")
    assert health.json()["worker_system"] == {"enabled": False, "type": "background_tasks"}
    assert (await small_api.http.get("/livez")).status_code == 200
    assert (await small_api.http.get("/readyz")).status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/metrics", "/api/generation", "/nowhere"])
async def test_head_is_answered_as_get_is_without_the_body(server: Served, path: str) -> None:
    shown, head = await server.http.get(path), await server.http.head(path)

    assert (head.status_code, head.content) == (shown.status_code, b"")
    assert head.headers["Content-Type"] == shown.headers["Content-Type"]


async def test_head_of_an_event_stream_ends_at_once(server: Served) -> None:
    job = await server.submit()

    async with asyncio.timeout(5):
        head = await server.http.head(job["urls"]["events"])

    assert head.headers["Content-Type"].startswith("text/event-stream")
    assert (head.status_code, head.content) == (200, b"")
    assert (await server.http.get("/livez")).status_code == 200  # on the same connection


async def test_the_mode_that_was_said_is_shown(api: Api) -> None:
    flag = Flag(use_durable_worker=True, worker_system_enabled=True)
    await api.runtime.database.write(lambda connection: environment_says(connection, flag, host="h", role="api"))
    api.runtime.rq = NoRedis(answers=True)

    health = (await api.http.get("/health")).json()
    info = (await api.http.get("/api/generation/system-info")).json()

    TypeAdapter(SystemInfo).validate_python(info)
    assert (health["worker_system"]["enabled"], health["worker_system"]["type"]) == (True, "rq")
    assert info["worker_system"] == health["worker_system"]
    assert info["worker_system"]["source"] == "environment"


async def test_a_service_that_wants_redis_and_has_none_is_degraded_and_ready(small_api: Api) -> None:
    flag = Flag(use_durable_worker=True, worker_system_enabled=True)
    database = small_api.runtime.database
    await database.write(lambda connection: environment_says(connection, flag, host="h", role="api"))
    small_api.runtime.rq = NoRedis(answers=False)

    health, ready = await small_api.http.get("/health"), await small_api.http.get("/readyz")

    assert (health.status_code, health.json()["status"], health.json()["redis"]) == (200, "degraded", "unreachable")
    assert ready.status_code == 200


async def test_a_redis_that_is_silent_makes_nobody_unready(small_api: Api) -> None:
    flag = Flag(use_durable_worker=True, worker_system_enabled=True)
    database = small_api.runtime.database
    await database.write(lambda connection: environment_says(connection, flag, host="h", role="api"))

    with closing(socket.create_server(("127.0.0.1", 0))) as silent:  # takes connections and never says a word
        address = f"redis://127.0.0.1:{silent.getsockname()[1]}/5"
        small_api.runtime.rq = RqBackend(address, timeout_seconds=60)
        asked_at = time.monotonic()
        ready, health = await asyncio.gather(small_api.http.get("/readyz"), small_api.http.get("/health"))
        answered = time.monotonic() - asked_at
        asked_again_at = time.monotonic()
        again = await small_api.http.get("/readyz")
        answered_again = time.monotonic() - asked_again_at

    assert (ready.status_code, health.status_code, again.status_code) == (200, 200, 200)
    assert (health.json()["status"], health.json()["database"]) == ("degraded", "ok")
    assert {one.json()["redis"] for one in (ready, health, again)} == {"unreachable"}
    assert answered < 3
    assert answered_again < 0.5, "who asks while a look is overdue is told at once"


async def test_a_redis_that_answers_again_is_seen(small_api: Api) -> None:
    flag = Flag(use_durable_worker=True, worker_system_enabled=True)
    await small_api.runtime.database.write(lambda connection: environment_says(connection, flag, host="h", role="api"))
    small_api.runtime.rq = NoRedis(answers=False)
    assert (await small_api.http.get("/health")).json()["status"] == "degraded"

    small_api.runtime.rq = NoRedis(answers=True)
    small_api.app.state.dependencies.forget()

    assert (await small_api.http.get("/health")).json()["status"] == "ok"


async def test_from_the_beginning_of_a_drain_a_process_is_alive_and_not_ready(small_api: Api) -> None:
    small_api.app.state.drain.begin()

    ready = await small_api.http.get("/readyz")

    assert (ready.status_code, ready.json()["status"]) == (503, "draining")
    assert (await small_api.http.get("/livez")).status_code == 200


async def test_without_its_database_a_process_is_alive_and_not_ready(
    small_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_unit: object) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(small_api.runtime.database, "read", away)

    assert (await small_api.http.get("/readyz")).status_code == 503
    assert (await small_api.http.get("/health")).json()["database"] == "unreachable"
    assert (await small_api.http.get("/livez")).status_code == 200
    shown = series((await small_api.http.get("/metrics")).text)
    assert shown["generation_service_up", ()] == 0


async def test_a_dependency_that_hangs_holds_up_nobody_for_long(
    small_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def hanging(_unit: object) -> None:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()

    monkeypatch.setattr(small_api.runtime.database, "read", hanging)
    monkeypatch.setattr("generation_service.api.health._PATIENCE_SECONDS", 0.05)

    answers = await asyncio.gather(*(small_api.http.get("/readyz") for _ in range(10)))

    assert {answer.status_code for answer in answers} == {503}
    assert asked == 1


async def test_metrics_tell_what_ran_and_what_waits(api: Api) -> None:
    await api.completed()
    await api.submit({"project_id": "p", "episode_data": {"title": "t"}, "priority": "high"})
    api.runtime.telemetry.step_ended(
        await api.runtime.jobs.get((await api.submit())["job_id"]), "signal", 1.0, "completed"
    )

    answer = await api.http.get("/metrics")

    shown = series(answer.text)
    assert answer.headers["Content-Type"].startswith("text/plain")
    waiting = (("backend", "background_tasks"), ("priority", "high"))
    assert shown["generation_queue_depth", waiting] == 1
    assert shown["generation_queue_depth", (("backend", "rq"), ("priority", "low"))] == 0
    assert shown["generation_queue_oldest_seconds", (("backend", "background_tasks"),)] >= 0
    assert shown["generation_jobs_accepted_total", ()] == 3
    assert shown["generation_jobs_ended_total", ()] == 1
    assert shown["pipeline_step_duration_seconds_count", (("step", "signal"),)] == 1
    assert shown["background_tasks_active", ()] == 0
    assert shown["generation_service_up", ()] == 1
    assert shown["generation_streams_open", ()] == 0


async def test_every_answer_has_an_id_that_its_log_line_has_too(
    small_api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "generation_service.api.middleware"):
        answer: httpx2.Response = await small_api.http.get("/api/generation/S3CRET")

    (record,) = [one for one in caplog.records if getattr(one, "action", "") == "request"]
    assert answer.headers["X-Request-Id"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (record.route, record.status) == ("/api/generation/{job_id}", 404)
    assert "S3CRET" not in record.getMessage()


async def test_the_description_of_the_api_is_whole(small_api: Api) -> None:
    document = (await small_api.http.get("/openapi.json")).json()

    text = json.dumps(document)
    known = set(document["components"]["schemas"])
    referred = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert referred <= known
    assert "HTTPValidationError" not in known
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), f"{method} {path}"
            assert operation.get("description"), f"{method} {path}"
    body = document["paths"]["/api/generation"]["post"]["requestBody"]["content"]["application/json"]
    assert {"script", "risk_report"} <= set(body["examples"])
    assert (await small_api.http.get("/docs")).status_code == 200


async def test_a_ticket_looks_as_documented(small_api: Api) -> None:
    answer = await small_api.http.post("/api/stream-tickets")

    TypeAdapter(TicketModel).validate_python(answer.json())


def test_an_open_service_on_a_public_address_does_not_start(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime
) -> None:
    sqlite_runtime.settings = settings_for(host="0.0.0.0")  # noqa: S104 - it is refused

    with pytest.raises(ConfigurationError, match="API_TOKENS"):
        create_app(sqlite_runtime)


async def test_who_asks_after_a_change_is_not_told_by_a_look_that_began_before_it() -> None:
    states, held, told = chain(["before"], repeat("after")), asyncio.Event(), list[str]()

    async def look() -> str:
        state = next(states)
        if state == "before":
            await held.wait()
        return state

    one = _Look(look, told.append, patience_seconds=20)
    early = asyncio.create_task(one.is_known())
    await asyncio.sleep(0)  # it looks

    one.forget()

    assert await one.is_known()
    held.set()
    assert await early
    assert set(told) == {"after"}


async def test_whoever_waits_for_a_look_that_is_forgotten_waits_for_the_next() -> None:
    states, held, told = chain(["before"], repeat("after")), asyncio.Event(), list[str]()

    async def look() -> str:
        state = next(states)
        await held.wait()
        return state

    one = _Look(look, told.append, patience_seconds=20)
    early = asyncio.create_task(one.is_known())
    await asyncio.sleep(0)  # it looks

    one.forget()
    held.set()

    assert await early
    assert told == ["after"]
