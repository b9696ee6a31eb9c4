"""Figures of the whole service, the ledger, the audit and what users report; memory is given back."""

import gc
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update

from generation_service.api.admin import cleaning, figures
from generation_service.database import Database, db_now
from generation_service.database.operations import processes
from generation_service.database.operations import user_reports as table
from generation_service.switching import user_reports
from tests.api.admin.conftest import TOKEN, Operator, operating
from tests.support.settings import SettingsFor
from tests.support.toy import until
from workers.names import QUEUES


@pytest.fixture
async def watched(settings_for: SettingsFor, database_url: str, redis_url: str) -> AsyncIterator[Operator]:
    """An operator of a service in durable mode, with a real Redis."""
    given = {"database_url": database_url, "redis_url": redis_url, "admin_token": TOKEN}
    async with operating(settings_for(**given, use_durable_worker=True)) as found:
        yield found


def test_figures_add_up_what_all_live_processes_say_of_themselves(database: Database) -> None:
    """Given rows of five processes, one of which has fallen silent and one of which stands by."""
    api = {"capacity": 16, "answers": 3, "answer_seconds": 0.6, "rss_bytes": 100}
    busy = {"capacity": 16, "answers": 1, "answer_seconds": 1.4, "rss_bytes": 50}
    _write_processes(
        database,
        ("api-1", "api", "serving", api, 0.0),
        ("api-2", "api", "draining", busy, 0.0),
        ("api-3", "api", "serving", api, 60.0),
        ("worker-1", "worker", "serving", {"capacity": 8, "rss_bytes": 7}, 0.0),
        ("worker-2", "worker", "standby", {"capacity": 8, "rss_bytes": 1}, 0.0),
    )

    found = database.read_now(figures.look)

    told = found.as_json()
    assert told["background_tasks"] == {"active": 0, "pending": 0, "capacity": 32}
    assert told["average_response_time"] == pytest.approx(0.5)
    assert (found.backend("rq", "worker")["capacity"], found.workers) == (8, 1)
    assert told["memory_bytes"] == 158
    states = {one["name"]: one["state"] for one in told["processes"]}
    assert states == {"api-1": "serving", "api-2": "draining", "worker-1": "serving", "worker-2": "standby"}


def test_figures_of_a_service_that_does_not_run_are_zeros(database: Database) -> None:
    told = database.read_now(figures.look).as_json()

    assert (told["average_response_time"], told["background_tasks"]["capacity"], told["processes"]) == (0.0, 0, [])


async def test_stats_show_this_process_with_its_memory_and_its_answers(watched: Operator) -> None:
    for _ in range(3):
        await watched.http.get("/api/generation")

    async def told() -> bool:
        return (await watched.get("stats"))["average_response_time"] > 0

    await until(told)
    stats = await watched.get("stats")
    assert stats["background_tasks"]["capacity"] == watched.runtime.settings.background_max_concurrency
    (process,) = stats["processes"]
    assert process["name"] == watched.runtime.process
    assert process["figures"]["rss_bytes"] == stats["memory_bytes"] > 0


async def test_stats_count_jobs_by_status_and_backend(watched: Operator) -> None:
    await watched.post("pause")
    for _ in range(2):
        await watched.submit()
    await watched.post("worker-mode", use_durable_worker=False, reason="why")
    job = await watched.submit()
    await watched.http.post(job["urls"]["cancel"])
    await watched.submit()

    stats = await watched.get("stats")

    assert stats["jobs"] == {"pending": 3, "running": 0, "completed": 0, "failed": 0, "cancelled": 1}
    assert (stats["background_tasks"]["pending"], stats["rq"]["pending"]) == (1, 2)
    assert stats["state"]["paused"] is True


async def test_stats_say_what_redis_says(watched: Operator) -> None:
    stats = await watched.get("stats")

    assert (stats["rq"]["reachable"], stats["rq"]["queues"]) == (True, dict.fromkeys(QUEUES, 0))


async def test_stats_answer_with_redis_unreachable_and_do_not_ask_it_where_rq_is_off(operator: Operator) -> None:
    gone = await operator.get("stats")
    await operator.post("worker-mode", worker_system_enabled=False, reason="why")
    off = await operator.get("stats")

    assert (gone["rq"]["enabled"], gone["rq"]["reachable"]) == (True, False)
    assert (off["rq"]["enabled"], off["rq"]["reachable"]) == (False, None)


async def test_answers_are_timed_but_for_those_that_were_asked_to_wait_and_operators(small_operator: Operator) -> None:
    answers = small_operator.runtime.telemetry.answers
    before = answers.recent().count

    await small_operator.http.get("/api/generation")
    await small_operator.http.get("/api/generation", headers={"Prefer": "wait=1"})
    await small_operator.http.get("/api/admin/stats")
    await small_operator.http.get("/health")

    assert answers.recent().count == before + 1


async def test_what_is_done_after_answers_is_counted_and_done(small_operator: Operator) -> None:
    await small_operator.submit()

    after = (await small_operator.get("stats"))["after_answer"]

    assert (after["active"], after["waiting"]) == (0, 0)
    assert after["capacity"] > 0


@lru_cache(maxsize=8)
def _remembered(number: int) -> int:
    return number


@pytest.mark.parametrize(
    ("body", "freed_kinds"),
    [
        ({"force_gc": True, "clear_caches": True}, {"objects", "entries"}),
        ({}, {"objects", "entries"}),
        ({"force_gc": True}, {"objects"}),
        ({"clear_caches": True}, {"entries"}),
        ({"force_gc": False}, set()),
    ],
)
async def test_a_cleanup_frees_what_it_is_asked_to_and_says_what(
    small_operator: Operator, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any], freed_kinds: set[str]
) -> None:
    monkeypatch.setattr(cleaning, "_OURS", (__name__,))
    _remembered.cache_clear()
    for number in range(5):
        _remembered(number)
    gc.collect()
    gc.disable()
    for _ in range(100):
        ring: list[Any] = []
        ring.append(ring)
    del ring

    try:
        freed = await small_operator.post("cleanup", **body)
    finally:
        gc.enable()

    assert (freed["freed_objects"] >= 100) is ("objects" in freed_kinds)
    assert freed["freed_cache_entries"] == (5 if "entries" in freed_kinds else 0)
    assert _remembered.cache_info().currsize == (0 if "entries" in freed_kinds else 5)
    assert (freed["scope"], freed["process"]) == ("process", small_operator.runtime.process)
    assert freed["freed_bytes"] == max(0, freed["rss_bytes_before"] - freed["rss_bytes_after"])
    assert freed["rss_bytes_before"] > 0


async def test_a_cleanup_finds_what_was_frozen_after_the_start_and_freezes_it_again(
    small_operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "_OURS", (__name__,))
    _remembered.cache_clear()
    _remembered(1)
    gc.freeze()
    try:
        freed = await small_operator.post("cleanup", clear_caches=True, force_gc=True)

        assert freed["freed_cache_entries"] == 1
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


async def test_a_cleanup_can_be_tried_first(small_operator: Operator) -> None:
    seen = await small_operator.post("cleanup", dry_run=True)

    assert seen["dry_run"] is True
    assert seen["cache_entries"] >= 0


async def test_the_ledger_of_a_service_that_has_lost_nothing_is_clean(watched: Operator) -> None:
    await watched.post("pause")
    await watched.submit()

    ledger = await watched.get("ledger")

    assert (ledger["lost"], ledger["duplicated"], ledger["unexplained"]) == (0, 0, 0)


async def test_triggers_are_listed(watched: Operator) -> None:
    items = (await watched.get("triggers"))["items"]

    assert items
    assert all({"name", "value", "threshold", "armed"} <= set(item) for item in items)


async def test_triggers_come_in_pages_too(watched: Operator) -> None:
    whole = await watched.get("triggers")

    names: list[str] = []
    page: dict[str, Any] = {"next_cursor": None}
    while not names or page["next_cursor"]:
        page = await watched.get("triggers", limit=2, **({"cursor": page["next_cursor"]} if names else {}))
        assert 1 <= len(page["items"]) <= 2
        names += [item["name"] for item in page["items"]]
    unknown = await watched.http.get("/api/admin/triggers", params={"cursor": "nobody"})

    assert names == [item["name"] for item in whole["items"]]
    assert whole["next_cursor"] is None
    assert (unknown.status_code, unknown.json()["code"]) == (422, "invalid_cursor")


async def test_the_audit_comes_in_pages_the_newest_first(operator: Operator) -> None:
    for reason in ("one", "two"):
        await operator.post("pause", reason=reason)

    first = await operator.get("audit", limit=3)
    second = await operator.get("audit", limit=3, cursor=first["next_cursor"])

    assert [item["sequence"] for item in first["items"]] == [4, 3, 2]
    assert second["items"][-1]["sequence"] == 1
    item = first["items"][0]
    assert (item["actor"], item["action"], item["reason"], item["outcome"]) == (
        "admin@10.0.0.7",
        "pause",
        "two",
        "done",
    )
    assert item["at"].endswith("Z")
    assert item["previous"] == first["items"][1]["digest"]


async def test_what_users_report_is_kept_counted_and_not_in_the_audit(operator: Operator) -> None:
    job = "019a0000-0000-7000-8000-000000000000"
    kept = await operator.post("user-reports", 201, message="아무것도 움직이지 않아요", job_id=job, user_id="ana")
    more = await operator.post("user-reports", 201, message="still nothing")
    dry = await operator.post("user-reports", message="x", dry_run=True)

    assert (kept["job_id"], kept["last_hour"], more["last_hour"], dry["last_hour"]) == (job, 1, 2, 2)
    items = (await operator.get("user-reports"))["items"]
    assert [(one["user_id"], one["message"]) for one in items] == [
        ("operator", "still nothing"),
        ("ana", "아무것도 움직이지 않아요"),
    ]
    entries = [*await operator.audited("add_user_report"), *await operator.audited("list_user_reports")]
    assert "still nothing" not in str(entries)
    assert entries[-1]["result"] == {"items": 2}


async def test_reports_that_are_older_do_not_count(operator: Operator) -> None:
    await operator.post("user-reports", 201, message="then")
    database, then = operator.runtime.database, update(table).values(created_at=db_now(-3601))
    await database.write(lambda connection: connection.execute(then))

    await operator.post("user-reports", 201, message="now")

    assert await database.read(user_reports.count_lately) == 1


@pytest.mark.parametrize("body", [{}, {"message": ""}, {"message": "x", "job_id": "one"}, {"message": "x" * 4001}])
async def test_a_report_without_sense_is_refused(small_operator: Operator, body: dict[str, Any]) -> None:
    await small_operator.post("user-reports", 422, **body)


def _write_processes(database: Database, *rows: tuple[str, str, str, dict[str, Any], float]) -> None:
    def unit(connection: Connection) -> None:
        for name, role, state, told, silent_seconds in rows:
            known = {"name": name, "role": role, "host": "here", "pid": 1, "state": state, "figures": told}
            times = {"started_at": db_now(-100), "seen_at": db_now(-silent_seconds)}
            connection.execute(insert(processes).values(**known, **times))

    database.write_now(unit)
