"""What many callers submit at once is accepted by one transaction, and each has its own answer."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import Connection, Engine, event, func, select

from generation_service.database import Database
from generation_service.database.grouping import ALONE
from generation_service.database.tables import events, idempotency_keys, jobs, projects
from generation_service.errors import Refused
from generation_service.jobs import counters, idempotency, submission
from generation_service.jobs.idempotency import KeyUse
from generation_service.jobs.ids import new_job_id
from generation_service.jobs.model import IdempotencyKey, NewJob, Submitted
from generation_service.jobs.submission import Admission, Submission
from tests.support.toy import Core, ToyKind, nothing

WANTED = NewJob(kind="toy", user_id="ana", request={"title": "하나"}, project_id="p")
ROOM = Admission(max_live=10_000, max_live_per_user=10_000, max_attempts=4)


def key(name: str, body: str = "f") -> IdempotencyKey:
    return IdempotencyKey(route="generation", key=name, fingerprint=body * 64)


def submit_all(database: Database, *members: Submission, admission: Admission = ROOM) -> list[object]:
    """Accept a group in one transaction; a refusal is told by its code."""
    answers = database.write_now(lambda connection: submission.submit_all(connection, members, admission))
    return [answer.code if isinstance(answer, Refused) else answer for answer in answers]


def count(database: Database, table) -> int:
    return database.read_now(
        lambda connection: connection.execute(select(func.count()).select_from(table)).scalar_one()
    )


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is sent to any database meanwhile."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield sent
    event.remove(Engine, "before_cursor_execute", note)


def test_each_of_a_group_has_its_own_answer_and_a_refused_one_leaves_nothing(database: Database) -> None:
    first = submit_all(database, Submission(wanted=WANTED, key=key("old")))[0]
    assert isinstance(first, Submitted)

    answers = submit_all(
        database,
        Submission(wanted=WANTED, key=key("old")),
        Submission(wanted=WANTED, key=key("old", "e")),
        Submission(wanted=replace(WANTED, user_id="bo"), key=key("theirs")),
        Submission(wanted=replace(WANTED, user_id="bo", project_id="q"), key=key("new")),
        Submission(wanted=replace(WANTED, project_id=None)),
    )

    replayed, reused, foreign, fresh, keyless = answers
    assert replayed == Submitted(first.job, replayed=True)
    assert (reused, foreign) == ("idempotency_key_reused", "project_not_found")
    assert isinstance(fresh, Submitted)
    assert isinstance(keyless, Submitted)
    assert (count(database, jobs), count(database, events), count(database, projects)) == (3, 3, 2)
    assert count(database, idempotency_keys) == 2
    assert database.read_now(lambda connection: counters.total(connection, "accepted")) == 3


def test_the_answer_is_the_job_as_it_is_stored(database: Database) -> None:
    wanted = replace(WANTED, recipe="script", priority="low", max_attempts=7, budget_tokens=12, backend="rq")
    members = [Submission(wanted=wanted), Submission(wanted=replace(wanted, request={"deep": {"n": 2**62, "f": 0.5}}))]

    for answer in submit_all(database, *members):
        assert isinstance(answer, Submitted)
        stored = database.read_now(lambda c, job_id=answer.job.id: submission.transitions.find_job(c, job_id))
        assert stored == answer.job


def test_room_goes_to_those_who_come_first(database: Database) -> None:
    two_each = Admission(max_live=5, max_live_per_user=2, max_attempts=4)
    users = ["ana", "ana", "ana", "bo", "bo", "cy", "di"]

    told = submit_all(
        database,
        *(
            Submission(wanted=NewJob(kind="toy", user_id=user, request={}), key=key("k" + str(n)))
            for n, user in enumerate(users)
        ),
        admission=two_each,
    )

    refusals = [answer if isinstance(answer, str) else "accepted" for answer in told]
    assert refusals == [
        *("accepted", "accepted", "caller_over_limit"),
        *("accepted", "accepted", "accepted", "queue_full"),
    ]
    assert count(database, idempotency_keys) == 5


def test_a_key_twice_in_one_group_waits_for_a_transaction_of_its_own(database: Database) -> None:
    members = [Submission(wanted=WANTED, key=key("same")) for _ in range(3)]

    answers = submit_all(database, *members)

    assert isinstance(answers[0], Submitted)
    assert answers[1:] == [ALONE, ALONE]
    again = submit_all(database, members[1])[0]
    assert again == Submitted(answers[0].job, replayed=True)


def test_a_key_that_comes_twice_takes_no_room_twice(database: Database) -> None:
    only_one = Admission(max_live=1, max_live_per_user=1, max_attempts=4)

    answers = submit_all(database, *(Submission(wanted=WANTED, key=key("same")) for _ in range(2)), admission=only_one)

    assert isinstance(answers[0], Submitted)
    assert answers[1] is ALONE


def test_a_key_that_somebody_else_has_bound_meanwhile_is_not_bound_again(database: Database) -> None:
    submit_all(database, Submission(wanted=WANTED, key=key("theirs")))
    uses = [KeyUse("ana", key(name), new_job_id()) for name in ("theirs", "mine")]

    assert database.write_now(lambda connection: idempotency.bind_all(connection, uses)) == [ALONE, None]


def test_two_users_who_are_first_in_a_project_at_once_do_not_share_it(database: Database) -> None:
    theirs = Submission(wanted=replace(WANTED, user_id="bo"))

    mine, waits = submit_all(database, Submission(wanted=WANTED), theirs)

    assert isinstance(mine, Submitted)
    assert waits is ALONE
    with pytest.raises(Refused, match="project_not_found"):
        submit_all(database, theirs)


async def test_one_that_cannot_be_stored_harms_no_other(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    broken = replace(WANTED, request={"no JSON": object()})

    answers = await asyncio.gather(
        *(core.jobs.submit(one) for one in (WANTED, broken, WANTED, WANTED)), return_exceptions=True
    )

    assert [isinstance(answer, Submitted) for answer in answers] == [True, False, True, True]
    assert count(database, jobs) == 3


async def test_a_callers_limit_holds_over_the_groups_of_several_processes(database: Database) -> None:
    processes = [Core(database, ToyKind({"one": nothing})).jobs for _ in range(3)]
    for one in processes:
        one.admission = Admission(max_live=1000, max_live_per_user=10, max_attempts=4)

    answers = await asyncio.gather(
        *(one.submit(WANTED, key=key(f"{number}-{n}")) for number, one in enumerate(processes) for n in range(20)),
        return_exceptions=True,
    )

    refused = [answer for answer in answers if not isinstance(answer, Submitted)]
    assert len(answers) - len(refused) == count(database, jobs) == count(database, idempotency_keys) == 10
    assert {str(answer) for answer in refused} == {"caller_over_limit"}


def test_who_is_near_its_limit_while_another_submits_for_it_keeps_nobody_waiting(postgresql_database: Database) -> None:
    database, small = postgresql_database, Admission(max_live=9_999, max_live_per_user=5, max_attempts=4)
    within, answered = threading.Event(), threading.Event()

    def hold(_connection: Connection) -> None:
        within.set()
        answered.wait(30)

    def submit_batch() -> None:
        wanted = [replace(WANTED, id=new_job_id(), project_id=None) for _ in range(3)]
        database.write_now(lambda c: submission.submit_batch(c, wanted, small, within=hold))

    with ThreadPoolExecutor(1) as pool:
        batch = pool.submit(submit_batch)
        assert within.wait(30)
        mine, theirs = submit_all(
            database,
            Submission(wanted=replace(WANTED, project_id=None)),
            Submission(wanted=replace(WANTED, project_id=None, user_id="bo")),
            admission=small,
        )
        answered.set()
        batch.result(30)

    assert mine is ALONE
    assert isinstance(theirs, Submitted)


def test_a_group_takes_as_many_statements_as_a_pair(database: Database) -> None:
    def sent_for(members: int) -> int:
        group = [Submission(wanted=WANTED, key=key(f"{members}-{n}")) for n in range(members)]
        with statements() as sent:
            submit_all(database, *group)
        return len(sent)

    sent_for(1)  # it makes the project

    assert sent_for(2) == sent_for(40) <= 9


@pytest.fixture
def counts_soon_are_old(monkeypatch: pytest.MonkeyPatch) -> Admission:
    """What was counted is too old at once; and a limit of eight, of which the last three are near."""
    monkeypatch.setattr("generation_service.jobs.admission._FRESH_SECONDS", 0.0)
    monkeypatch.setattr("generation_service.jobs.admission._NEAR_THE_LIMIT", 3)
    return replace(ROOM, max_live_per_user=8)


def test_whoever_had_to_wait_does_not_pass_its_limit_with_what_it_counted_before(
    postgresql_database: Database, counts_soon_are_old: Admission
) -> None:
    database, limited = postgresql_database, counts_soon_are_old

    def others_fill_up(_connection: Connection) -> None:
        with ThreadPoolExecutor(1) as pool:
            for _ in range(8):
                pool.submit(database.write_now, lambda other: submission.submit(other, WANTED, limited)).result()

    with pytest.raises(Refused, match="caller_over_limit"):
        database.write_now(
            lambda connection: submission.submit(
                connection, replace(WANTED, project_id=None), limited, key=key("k"), within=others_fill_up
            )
        )

    assert count(database, jobs) == 8
    assert count(database, idempotency_keys) == 0


async def test_a_group_that_had_to_wait_is_accepted_one_by_one(
    postgresql_database: Database, counts_soon_are_old: Admission
) -> None:
    core = Core(postgresql_database, ToyKind({"one": nothing}))
    core.jobs.admission = counts_soon_are_old

    answers = await asyncio.gather(*(core.jobs.submit(WANTED) for _ in range(12)), return_exceptions=True)

    assert sum(isinstance(answer, Submitted) for answer in answers) == 8
    assert {answer.code for answer in answers if isinstance(answer, Refused)} == {"caller_over_limit"}
    assert count(postgresql_database, jobs) == 8
