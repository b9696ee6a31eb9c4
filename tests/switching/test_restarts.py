"""A restart is asked for once its configuration holds, told to the supervisor whoever dies, and followed to its end."""

import os
from collections.abc import Sequence
from multiprocessing import Pipe
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, update

from generation_service.database import Database, db_now
from generation_service.database.operations import processes, restarts, switches
from generation_service.errors import Refused
from generation_service.jobs.ids import uuid7
from generation_service.jobs.model import Json
from generation_service.jobs.routing import current_mode
from generation_service.switching.mode import Flag
from generation_service.switching.processes import Processes
from generation_service.switching.restart_rows import Restart, judge
from generation_service.switching.restarts import Restarts, RestartWish
from generation_service.switching.supervision import ProcessIdentity, Supervision, Word
from generation_service.texts import LANGUAGES, text
from tests.support.toy import until

WISH = RestartWish(reason="the configuration has changed", said_by="ana")
FLAG = Flag(use_durable_worker=True, worker_system_enabled=True)


class Supervisor:
    """The other end of a process's line to its supervisor, as a test plays it."""

    def __init__(self) -> None:
        identity = ProcessIdentity.of(os.getpid())
        assert identity
        self.name = str(identity)
        self._end, its_end = Pipe()
        self.supervision = Supervision(identity, its_end)

    def asked(self) -> list[str]:
        """The ids that it was asked for since the last call."""
        ids = []
        while self._end.poll():
            ids.append(self._end.recv_bytes().decode())
        return ids

    def say(self, word: Word) -> None:
        self._end.send_bytes(word.to_bytes())


class Rehearsed:
    """A rehearsal that finds what a test says."""

    def __init__(self, lines: Sequence[str] = ()) -> None:
        self.lines = lines
        self.times = 0

    async def __call__(self) -> Sequence[str]:
        self.times += 1
        return self.lines


@pytest.fixture
def supervisor() -> Supervisor:
    return Supervisor()


def of(database: Database, supervisor: Supervisor | None, rehearsed: Rehearsed | None = None) -> Restarts:
    return Restarts(
        database=database,
        supervision=supervisor.supervision if supervisor else None,
        rehearse=rehearsed or Rehearsed(),
        environment=FLAG,
        grace_seconds=1.0,
    )


def process(database: Database, supervisor: Supervisor, name: str, state: str = "serving") -> None:
    """A process of this supervisor, in this state from now on."""
    one = Processes(database=database, name=name, role="api", supervisor=supervisor.name)
    one.enter(state)  # type: ignore[arg-type]
    database.write_now(one.end if state == "ended" else one.write)


async def count(database: Database) -> int:
    return await database.read(
        lambda connection: connection.execute(select(func.count()).select_from(restarts)).scalar_one()
    )


async def test_a_restart_is_followed_from_process_to_process(database: Database, supervisor: Supervisor) -> None:
    process(database, supervisor, "api@here:1/a")
    asking = of(database, supervisor)

    asked = await asking.request(WISH)
    assert supervisor.asked() == [asked.id]
    assert (asked.status, asked.reason, asked.said_by) == ("running", WISH.reason, "ana")
    assert [one["name"] for one in asked.before] == ["api@here:1/a"]

    process(database, supervisor, "api@here:2/b", "starting")
    await asking.turn()
    [successor] = (await asking.get(asked.id)).after
    assert (successor["state"], successor["ready"]) == ("starting", False)

    process(database, supervisor, "api@here:2/b")
    process(database, supervisor, "api@here:1/a", "draining")
    await asking.turn()
    assert (await asking.get(asked.id)).status == "running"

    process(database, supervisor, "api@here:1/a", "ended")
    await asking.turn()
    done = await asking.get(asked.id)
    assert (done.status, done.error) == ("completed", None)
    assert done.completed_at is not None
    assert [(one["state"], one["pid"]) for one in done.before] == [("ended", os.getpid())]
    assert [(one["name"], one["ready"]) for one in done.after] == [("api@here:2/b", True)]


async def test_what_became_of_each_process_is_kept_longer_than_its_row(
    database: Database, supervisor: Supervisor
) -> None:
    process(database, supervisor, "api@here:1/a")
    asking = of(database, supervisor)
    asked = await asking.request(WISH)
    process(database, supervisor, "api@here:1/a", "ended")
    process(database, supervisor, "api@here:2/b")
    await asking.turn()
    kept = await asking.get(asked.id)

    await database.write(lambda connection: connection.execute(delete(processes)))

    assert (await asking.get(asked.id)).as_json() == kept.as_json()
    assert kept.after


async def test_a_restart_whose_asker_died_is_told_by_the_next_process(
    database: Database, supervisor: Supervisor
) -> None:
    """It was committed, and the process ended before it could tell anybody."""
    asked = await of(database, supervisor).request(WISH)
    supervisor.asked()

    successor = of(database, supervisor)
    await successor.turn()
    await successor.turn()

    assert supervisor.asked() == [asked.id]  # which the supervisor may know already: it goes by the id


async def test_the_restart_of_another_supervisor_is_not_told_to_ours(
    database: Database, supervisor: Supervisor
) -> None:
    await of(database, supervisor).request(WISH)
    supervisor.asked()
    elsewhere = update(restarts).values(supervisor="1:1")
    await database.write(lambda connection: connection.execute(elsewhere))

    await of(database, supervisor).turn()

    assert supervisor.asked() == []


async def test_a_successor_that_does_not_get_ready_is_a_failure_and_the_way_is_free_again(
    database: Database, supervisor: Supervisor
) -> None:
    process(database, supervisor, "api@here:1/a")
    asking = of(database, supervisor)
    asked = await asking.request(WISH)

    supervisor.say(Word(asked.id, "failed", "the successor ended with 3"))
    await asking.turn()

    failed = await asking.get(asked.id)
    assert (failed.status, failed.error) == (
        "failed",
        {"code": "successor_failed", "message": "the successor ended with 3"},
    )
    assert (await asking.request(WISH)).id != asked.id


async def test_a_second_restart_meanwhile_is_refused_with_the_first_ones_progress(
    database: Database, supervisor: Supervisor
) -> None:
    rehearsed = Rehearsed()
    asking = of(database, supervisor, rehearsed)
    first = await asking.request(WISH)

    with pytest.raises(Refused) as refused:
        await asking.request(WISH)

    assert (refused.value.code, refused.value.status) == ("restart_under_way", 409)
    assert (refused.value.params["id"], refused.value.params["status"]) == (first.id, "running")
    assert rehearsed.times == 1
    assert await count(database) == 1
    for language in LANGUAGES:
        assert first.id in text("problem.restart_under_way", language, **refused.value.params)


async def test_of_two_at_once_the_database_takes_one(database: Database, supervisor: Supervisor) -> None:
    class Slow(Rehearsed):
        """Whoever rehearses is overtaken by another, who has asked meanwhile."""

        async def __call__(self) -> Sequence[str]:
            await of(database, supervisor).request(WISH)
            return ()

    with pytest.raises(Refused, match="restart_under_way"):
        await of(database, supervisor, Slow()).request(WISH)

    assert await count(database) == 1
    assert len(supervisor.asked()) == 1


async def test_a_configuration_that_does_not_hold_restarts_nothing(database: Database, supervisor: Supervisor) -> None:
    asking = of(database, supervisor, Rehearsed(["PORT: got 'x'", "HOST: no"]))

    with pytest.raises(Refused) as refused:
        await asking.request(RestartWish(reason="try", said_by="ana", use_durable_worker=False))

    assert (refused.value.code, refused.value.status) == ("invalid_configuration", 422)
    assert "PORT: got 'x'\nHOST: no" in text("problem.invalid_configuration", "ko", **refused.value.params)
    assert (await count(database), supervisor.asked()) == (0, [])
    assert await database.read(current_mode) is None


async def test_a_process_that_nobody_keeps_cannot_be_replaced(database: Database) -> None:
    with pytest.raises(Refused) as refused:
        await of(database, None).request(WISH)

    assert (refused.value.code, refused.value.status) == ("not_supervised", 409)
    assert await count(database) == 0


async def test_what_is_said_about_the_mode_counts_at_once(database: Database, supervisor: Supervisor) -> None:
    wish = RestartWish(reason="Redis is gone", said_by="ana", use_durable_worker=False, worker_system_enabled=False)

    await of(database, supervisor).request(wish)

    mode = await database.read(current_mode)
    assert mode is not None
    assert (mode.backend, mode.enabled, mode.said_by, mode.reason) == (
        "background_tasks",
        False,
        "ana",
        "Redis is gone",
    )


async def test_while_a_switch_is_under_way_nothing_is_said_and_nothing_restarted(
    database: Database, supervisor: Supervisor
) -> None:
    under_way: dict[str, Any] = {"id": uuid7(), "kind": "rollback", "epoch": 1, "status": "running"}
    under_way |= {"source": "operator", "said_by": "bo", "reason": "r", "report": {"steps": []}, "started_at": db_now()}
    await database.write(lambda connection: connection.execute(insert(switches).values(under_way)))

    with pytest.raises(Refused, match="switch_under_way"):
        await of(database, supervisor).request(RestartWish(reason="r", said_by="ana", use_durable_worker=True))

    assert (await count(database), supervisor.asked()) == (0, [])


async def test_a_preview_tries_everything_and_does_nothing(database: Database, supervisor: Supervisor) -> None:
    process(database, supervisor, "api@here:1/a")
    rehearsed = Rehearsed()

    seen = await of(database, supervisor, rehearsed).preview(
        RestartWish(reason="try", said_by="ana", use_durable_worker=False)
    )

    assert rehearsed.times == 1
    assert [one["name"] for one in seen["processes"]["before"]] == ["api@here:1/a"]
    assert seen["mode"]["changed"] is True
    assert (await count(database), supervisor.asked()) == (0, [])
    assert await database.read(current_mode) is None


async def test_a_restart_that_nobody_can_finish_ends_by_itself(database: Database, supervisor: Supervisor) -> None:
    """As when the supervisor was killed with all its processes: any process of the service writes that down."""
    asked = await of(database, supervisor).request(WISH)
    long_ago = update(restarts).values(requested_at=db_now(-3600), supervisor="1:1")
    await database.write(lambda connection: connection.execute(long_ago))

    await of(database, None).turn()

    ended = await of(database, None).get(asked.id)
    assert (ended.status, ended.error and ended.error["code"]) == ("failed", "took_too_long")


@pytest.mark.parametrize("wrong", ["no-id", "01a1fdfb-a3f1-7d91-a5bd-8d0671fbcbfd"])
async def test_an_unknown_restart_is_not_found(database: Database, wrong: str) -> None:
    with pytest.raises(Refused) as refused:
        await of(database, None).get(wrong)

    assert (refused.value.code, refused.value.status) == ("restart_not_found", 404)


async def test_the_loop_follows_by_itself(database: Database, supervisor: Supervisor) -> None:
    process(database, supervisor, "api@here:1/a")
    asking = of(database, supervisor)
    asking.start()
    try:
        asked = await asking.request(WISH)
        process(database, supervisor, "api@here:1/a", "ended")
        process(database, supervisor, "api@here:2/b")
        await until(lambda: _is(asking, asked.id, "completed"))
    finally:
        await asking.stop()


async def _is(asking: Restarts, restart_id: str, status: str) -> bool:
    return (await asking.get(restart_id)).status == status


# How an ending is read off what the processes say


def seen(state: str) -> dict[str, Json]:
    return {"ready": state == "serving", "ended_at": "t" if state in {"ended", "crashed"} else None}


@pytest.mark.parametrize(
    ("before", "after", "said", "overdue", "expected"),
    [
        (["serving"], [], None, False, None),
        (["draining"], ["serving"], None, False, None),
        (["ended"], ["starting"], None, False, None),
        (["ended"], ["serving"], None, False, "completed"),
        (["crashed"], ["crashed", "serving"], None, False, "completed"),
        (["ended", "ended"], ["serving"], None, False, None),
        (["ended", "ended"], ["serving"], "replaced", False, "completed"),
        (["ended", "ended"], ["serving"], None, True, "completed"),
        (["ended", "serving"], ["serving"], "failed", False, "failed"),
        (["serving"], [], None, True, "failed"),
    ],
)
def test_how_a_restart_ends(
    before: list[str],
    after: list[str],
    said: Any,
    overdue: object,
    expected: str | None,
) -> None:
    columns: dict[str, Any] = dict.fromkeys(("id", "supervisor", "host", "status", "said_by", "reason"), "x")
    columns |= dict.fromkeys(("requested_at", "completed_at", "error"))
    restart = Restart(
        **columns,
        names=before,
        before=[seen(state) for state in before],
        after=[seen(state) for state in after],
        age_seconds=0.0,
    )

    ending = judge(restart, Word("x", said) if said else None, overdue=bool(overdue))

    assert (ending and ending.status) == expected
