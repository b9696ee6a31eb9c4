"""The mode is said by an operator at once, with a reason; jobs are moved when that is asked for."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from generation_service.database import db_now
from generation_service.database.operations import switches
from generation_service.jobs.ids import uuid7
from generation_service.jobs.routing import Rollout, current_mode
from generation_service.switching.mode import Flag, Word, say
from tests.api.admin.conftest import Operator
from tests.support.toy import until


async def test_the_mode_shows_who_said_it_and_why(operator: Operator) -> None:
    shown = await operator.get("worker-mode")

    assert (shown["use_durable_worker"], shown["worker_system_enabled"]) == (False, True)
    assert shown["worker_system"] == (await operator.http.get("/health")).json()["worker_system"]
    assert (shown["now"]["source"], shown["now"]["reason"]) == ("environment", "first start")
    assert shown["history"] == [shown["now"]]
    assert shown["under_way"] is None


async def test_a_word_is_in_force_at_once_and_in_the_history(operator: Operator) -> None:
    said = await operator.post("worker-mode", use_durable_worker=True, reason="RQ is back")

    assert (said["changed"], said["before"]["type"], said["after"]["type"]) == (True, "background_tasks", "rq")
    assert (await operator.http.get("/health")).json()["worker_system"]["enabled"] is True
    shown = await operator.get("worker-mode")
    assert shown["now"] == said["after"]
    assert (shown["now"]["said_by"], shown["now"]["source"]) == ("admin@10.0.0.7", "operator")
    assert [one["reason"] for one in shown["history"]] == ["RQ is back", "first start"]


async def test_the_history_comes_in_pages_and_what_is_in_force_is_on_each(operator: Operator) -> None:
    for number in range(4):
        await operator.post("worker-mode", use_durable_worker=number % 2 == 0, reason=f"word {number}")

    first = await operator.get("worker-mode", limit=2)
    second = await operator.get("worker-mode", limit=2, cursor=first["next_cursor"])
    last = await operator.get("worker-mode", limit=2, cursor=second["next_cursor"])

    reasons = [one["reason"] for page in (first, second, last) for one in page["history"]]
    assert reasons == ["word 3", "word 2", "word 1", "word 0", "first start"]
    assert last["next_cursor"] is None
    assert first["now"] == second["now"] == last["now"] == first["history"][0]
    for cursor in ("x", "-1", str(10**20), "\u0661"):
        answer = await operator.http.get("/api/admin/worker-mode", params={"cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


async def test_a_job_that_comes_next_gets_the_new_backend_and_one_that_was_there_keeps_its_own(
    operator: Operator,
) -> None:
    await operator.post("pause")
    before = await operator.submit()

    await operator.post("worker-mode", use_durable_worker=True, reason="RQ is back")
    after = await operator.submit()

    kept = (await operator.http.get(before["urls"]["self"])).json()
    assert (kept["backend"], after["backend"]) == ("background_tasks", "rq")


async def test_one_flag_leaves_the_other_as_it_is(operator: Operator) -> None:
    await operator.post("worker-mode", use_durable_worker=True, reason="one")

    off = await operator.post("worker-mode", worker_system_enabled=False, reason="two")
    on = await operator.post("worker-mode", worker_system_enabled=True, reason="three")

    assert (off["after"]["use_durable_worker"], off["after"]["type"]) == (True, "background_tasks")
    assert on["after"]["type"] == "rq"


async def test_the_same_word_twice_is_one(operator: Operator) -> None:
    first = await operator.post("worker-mode", use_durable_worker=True, carry="waiting", reason="one")
    again = await operator.post("worker-mode", use_durable_worker=True, reason="two")
    other = await operator.post("worker-mode", use_durable_worker=True, carry="nothing", reason="three")

    assert (again["changed"], again["after"]) == (False, first["after"])
    assert (other["changed"], other["after"]["carry"]) == (True, "nothing")


async def test_carry_takes_along_what_waits(operator: Operator) -> None:
    await operator.post("worker-mode", use_durable_worker=True, reason="RQ is back")
    job = await operator.submit()

    await operator.post("worker-mode", use_durable_worker=False, carry="waiting", reason="RQ is gone")

    async def there() -> bool:
        return bool((await operator.http.get(job["urls"]["self"])).json()["backend"] == "background_tasks")

    await until(there)


async def test_a_preview_says_what_would_change_and_changes_nothing(operator: Operator) -> None:
    await operator.post("pause")
    for _ in range(3):
        await operator.submit()
    before = await operator.get("worker-mode")

    seen = await operator.post(
        "worker-mode", use_durable_worker=True, worker_system_enabled=True, reason="perhaps", dry_run=True
    )

    assert (seen["dry_run"], seen["changed"], seen["after"]["type"]) == (True, True, "rq")
    assert seen["jobs"]["background_tasks"] == {"waiting": 3, "scheduled": 0, "running": 0}
    assert seen["jobs"]["rq"] == {"waiting": 0, "scheduled": 0, "running": 0}
    assert (await operator.get("worker-mode")) == before


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"use_durable_worker": True}, "reason_required"),
        ({"use_durable_worker": True, "reason": ""}, "reason_required"),
        ({"use_durable_worker": True, "reason": " \n"}, "reason_required"),
        ({"use_durable_worker": True, "dry_run": True}, "reason_required"),
        ({"reason": "why"}, "flag_required"),
        ({"use_durable_worker": True, "reason": "x" * 1001}, "invalid_request"),
        ({"use_durable_worker": 1, "reason": "why"}, "invalid_request"),
        ({"use_durable_worker": True, "reason": "why", "mode": "rq"}, "invalid_request"),
        ({"use_durable_worker": True, "reason": "why", "carry": "all"}, "invalid_request"),
    ],
)
async def test_what_is_not_said_properly_changes_nothing(
    small_operator: Operator, body: dict[str, Any], code: str
) -> None:
    before = await small_operator.get("worker-mode")

    refused = await small_operator.post("worker-mode", 422, **body)

    assert refused["code"] == code
    assert (await small_operator.get("worker-mode")) == before


async def test_while_aswitch_is_under_way_a_word_is_refused_with_its_progress(operator: Operator) -> None:
    await operator.runtime.database.write(switch_is_under_way)

    refused = await operator.post("worker-mode", 409, use_durable_worker=True, reason="I know better")

    assert refused["code"] == "switch_under_way"
    assert (refused["progress"]["kind"], refused["progress"]["steps_done"]) == ("rollback", "mode")
    assert (await operator.get("worker-mode"))["under_way"]["id"] == refused["progress"]["id"]
    preview = await operator.post("worker-mode", 409, use_durable_worker=True, reason="why", dry_run=True)
    assert preview["code"] == "switch_under_way"


async def test_of_many_words_at_once_each_is_said_and_the_last_is_in_force(operator: Operator) -> None:
    """Given operators who contradict each other: every answer is true of some moment, and epochs have no gap."""
    answers = await asyncio.gather(
        *(
            operator.http.post(
                "/api/admin/worker-mode", json={"use_durable_worker": number % 2 == 0, "reason": f"word {number}"}
            )
            for number in range(8)
        )
    )

    assert {answer.status_code for answer in answers} <= {200, 409}
    shown = await operator.get("worker-mode")
    epochs = [one["epoch"] for one in shown["history"]]
    assert epochs == list(range(epochs[0], 0, -1))
    said = [answer.json()["after"]["epoch"] for answer in answers if answer.status_code == 200]
    assert max(said) == epochs[0]


async def test_an_operator_leaves_the_rollout_as_it_is(operator: Operator) -> None:
    flag = Flag(use_durable_worker=True, worker_system_enabled=True, rollout=Rollout(25, ("vip",)))

    def unit(connection: Connection) -> None:
        mode = current_mode(connection)
        assert mode
        say(connection, Word(flag=flag, reason="gradual", said_by="x", source="operator"), after=mode.epoch)

    await operator.runtime.database.write(unit)
    said = await operator.post("worker-mode", worker_system_enabled=False, reason="why")

    assert said["after"]["rollout"] == {"percent": 25, "projects": ["vip"]}


@pytest.mark.parametrize("names", [("rq_queue", "background_tasks"), ("rq", "background_tasks")])
async def test_pending_jobs_are_migrated_with_redis_unreachable(operator: Operator, names: tuple[str, str]) -> None:
    source, target = names
    await operator.post("pause")
    await operator.post("worker-mode", use_durable_worker=True, reason="RQ is back")
    jobs = [await operator.submit() for _ in range(3)]
    await operator.post("worker-mode", use_durable_worker=False, reason="RQ is gone")

    preview = await operator.post("migrate-pending-jobs", source=source, target=target, dry_run=True)
    moved = await operator.post("migrate-pending-jobs", source=source, target=target)
    again = await operator.post("migrate-pending-jobs", source=source, target=target)

    assert (preview["dry_run"], preview["migrated"]) == (True, 3)
    assert (moved["migrated"], moved["failed"], moved["dead_lettered"]) == (3, 0, 0)
    assert moved["duration_seconds"] >= 0
    assert again["migrated"] == 0
    backends = {(await operator.http.get(job["urls"]["self"])).json()["backend"] for job in jobs}
    assert backends == {"background_tasks"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"source": "rq_queue", "target": "rq_queue"}, "same_backend"),
        ({"source": "rq", "target": "rq_queue"}, "same_backend"),
        ({"source": "background_tasks", "target": "background_tasks"}, "same_backend"),
        ({"source": "celery", "target": "background_tasks"}, "invalid_request"),
        ({"source": "rq_queue", "target": "nowhere"}, "invalid_request"),
        ({"source": "rq_queue"}, "invalid_request"),
        ({}, "invalid_request"),
        ({"source": "rq_queue", "target": "background_tasks", "include_running": "yes"}, "invalid_request"),
    ],
)
async def test_a_migration_between_what_are_not_two_backends_is_refused(
    small_operator: Operator, body: dict[str, Any], code: str
) -> None:
    assert (await small_operator.post("migrate-pending-jobs", 422, **body))["code"] == code


async def test_statuses_are_compared_with_redis_unreachable(operator: Operator) -> None:
    report = await operator.post("sync-statuses", dry_run=True)

    assert report["redis"] == "unreachable"


def switch_is_under_way(connection: Connection) -> None:
    columns = {"kind": "rollback", "epoch": 1, "status": "running", "source": "operator", "said_by": "ana"}
    steps = [{"name": "mode", "started_at": "now", "seconds": 0.1, "result": {}}]
    row = {"id": uuid7(), **columns, "reason": "Redis", "report": {"steps": steps}}
    # Held for as long as the test takes, so that nobody goes on with it.
    times = {"started_at": db_now(), "lease_until": db_now(600)}
    connection.execute(insert(switches).values(**row, **times, holder="elsewhere"))
