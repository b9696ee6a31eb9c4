"""However many jobs there ever were, no statement of the daily run looks at more of them than it has to."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import Connection, select, text, update

from generation_service.api import metrics
from generation_service.api.admin import figures
from generation_service.api.listing import steps_of
from generation_service.api.tickets import issue, redeem
from generation_service.database import Database
from generation_service.database.partitions import first_id
from generation_service.database.tables import jobs
from generation_service.jobs import (
    admission,
    claims,
    counters,
    dead_letters,
    event_log,
    heartbeat,
    ledger,
    pruning,
    queries,
    recovery,
    redelivery,
    rerouting,
)
from generation_service.jobs.claims import Claimant
from generation_service.jobs.model import IdempotencyKey, JobId, NewJob
from generation_service.jobs.ports import StepOutcome, StepRun
from generation_service.jobs.queries import JobFilter
from generation_service.jobs.routing import Mode, Rollout
from generation_service.pipeline import episodes
from generation_service.switching import alerting, conditions, outcome, state, sync
from scripts.benchmarks.tables_fill import OWNER, Past, fill
from tests.support.plans import MOST_ROWS, Watched, watched
from tests.support.toy import Core, ToyKind, nothing

PAST = Past(jobs=20_000, events=5)
STEPS = {f"s{number}": nothing for number in range(3)}
MANY = MOST_ROWS + 500
OTHERS = """
    UPDATE jobs SET user_id = 'u0';
    UPDATE projects SET user_id = 'u0';
    INSERT INTO idempotency_keys SELECT 'ana', 'r', id, 'f', id, created_at FROM jobs WHERE status = 'completed';
    INSERT INTO dead_letters (id, job_id, origin, reason, detail, fingerprint, created_at, resolved_at)
      SELECT id, id, 'jobs', 'x', 'x', id, created_at, created_at FROM jobs WHERE completed_at IS NOT NULL;
    INSERT INTO alerts (id, type, subject, fingerprint, detail, created_at, due_at, tries)
      SELECT id, 'job_failed', id, id, '{}', created_at, NULL, 1 FROM jobs WHERE completed_at IS NOT NULL;
    INSERT INTO pruned_jobs SELECT 'p' || substr(id, 2), created_at FROM jobs;
    INSERT INTO episodes SELECT id, project_id, row_number() OVER (PARTITION BY project_id ORDER BY id), id, 'script',
      'x', 'ko', 'x', '{}', created_at FROM jobs WHERE status = 'completed';
    UPDATE projects SET episode_count = (SELECT max(number) FROM episodes WHERE project_id = projects.id)
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database that has been in use for a year; what tests add to it stays."""
    if request.param == "sqlite":
        folder: Path = tmp_path_factory.mktemp("large")
        url = request.getfixturevalue("_sqlite_databases").fresh(folder)
        yield from filled(url)
        shutil.rmtree(folder)
    else:
        with request.getfixturevalue("_postgres_databases").fresh() as url:
            yield from filled(url)


def filled(url: str) -> Iterator[Database]:
    fill(url, PAST)
    database = Database(url)
    for statement in OTHERS.split(";"):
        database.write_now(lambda connection, statement=statement: connection.execute(text(statement)))
    if database.dialect == "postgresql":
        vacuumed(database)
    yield database
    database.close()


def vacuumed(database: Database) -> None:
    with database.exclusive_connection() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))


async def fails(run: StepRun) -> StepOutcome:
    raise ZeroDivisionError


@pytest.fixture
def core(large: Database) -> Core:
    return Core(large, ToyKind(STEPS, kind="generation"))


@pytest.fixture
def seen(large: Database) -> Iterator[Watched]:
    """What is executed in the test; nothing may be said against any of it."""
    with watched(large) as everything:
        yield everything
    assert everything.statements, "nothing was looked at"
    assert not everything.offences, "\n".join(everything.offences)


async def test_from_its_acceptance_to_its_end_a_job_costs_the_same(core: Core, seen: Watched) -> None:
    async with core.beating():
        job = await core.submit(project_id="p1", user_id=OWNER)
        await core.executor.execute(job.id, "background_tasks")
        ended, steps = await core.jobs.get_with_steps(job.id)

    assert (ended.status, len(steps)) == ("completed", len(STEPS))
    assert len(await core.log(job.id, 2)) > len(STEPS)
    assert len(seen.statements) > len(STEPS)


async def test_keys_limits_failures_and_endings_by_hand_cost_the_same(core: Core, seen: Watched) -> None:
    core.jobs.admission = replace(core.jobs.admission, max_live_per_user=100)
    key = IdempotencyKey(route="r", key=first_id(datetime.now(UTC)), fingerprint="f")
    wanted = NewJob(kind=core.kind.kind, user_id="ana", request={})
    first, again = [await core.jobs.submit(wanted, key=key) for _ in range(2)]
    assert again.replayed
    assert (await core.jobs.cancel(first.job.id)).by_this_call

    core.kind.toy_steps["s1"].body = fails
    failed = await core.run(await core.submit(max_attempts=1))
    assert failed.status == "failed"
    assert (await core.jobs.reopen(failed.id)).status == "pending"


async def test_upkeep_costs_what_is_live(core: Core, seen: Watched) -> None:
    for _ in range(2):
        await core.recovery.turn()


async def test_a_ticket_is_issued_and_redeemed(large: Database, seen: Watched) -> None:
    ticket, _ = await issue(large, OWNER)

    assert await redeem(large, ticket) == OWNER


async def test_the_steps_of_a_page_are_found_together(large: Database, seen: Watched) -> None:
    page = large.read_now(lambda connection: queries.list_jobs(connection, JobFilter(), limit=50, before=None))

    assert await steps_of(large, [job.id for job in page.items]) is not None


@dataclass(frozen=True, slots=True)
class Middle:
    """A job that half of all were accepted before."""

    id: JobId
    completed_at: datetime | None

    @classmethod
    def of(cls, connection: Connection) -> "Middle":
        found = select(jobs.c.id, jobs.c.completed_at).order_by(jobs.c.id).offset(PAST.jobs // 2).limit(1)
        return cls(*connection.execute(found).one())


LISTS = {
    "all": JobFilter(),
    "of a user": JobFilter(user_id=OWNER),
    "of nobody": JobFilter(user_id="nobody"),
    **{status: JobFilter(user_id=OWNER, status=status) for status in ("pending", "running", "completed", "failed")},
    "none of them cancelled": JobFilter(user_id=OWNER, status="cancelled"),
    "of a project": JobFilter(user_id=OWNER, project_id="p3"),
    "failed of a project": JobFilter(user_id=OWNER, project_id="p3", status="failed"),
    "of no project": JobFilter(user_id=OWNER, project_id="none"),
    "of another kind": JobFilter(user_id=OWNER, kind="prune"),
    "of the last hour": JobFilter(user_id=OWNER, created_after=datetime.now(UTC) - timedelta(hours=1)),
    "of tomorrow": JobFilter(user_id=OWNER, created_after=datetime.now(UTC) + timedelta(days=1)),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_page_costs_the_same_wherever_it_is(large: Database, name: str) -> None:
    middle = large.read_now(Middle.of)

    with watched(large) as seen:
        for before in (None, middle.id):
            large.read_now(partial(queries.list_jobs, wanted=LISTS[name], limit=50, before=before))

    assert (len(seen.statements), seen.offences) == (2, [])


MODE = Mode(
    epoch=1,
    backend="rq",
    enabled=True,
    carry="waiting",
    rollout=Rollout(),
    since=datetime.now(UTC),
    said_by="ana",
    reason="a test",
    source="operator",
)
BY = Claimant(holder="here/1", lease_seconds=30)
KINDS = {"generation": ToyKind(STEPS, kind="generation")}
YEARS = 10 * 365 * 86_400.0
SWITCH = cast("Any", SimpleNamespace(started_at=datetime.now(UTC) - timedelta(hours=1)))

READS: dict[str, Callable[[Connection, Middle], Any]] = {
    "figures of the admin": lambda c, _: figures.look(c),
    "metrics": lambda c, _: metrics._stored(60.0, c),
    "status by backend": lambda c, _: queries.count_by_status(c),
    "live by backend": lambda c, _: state.count_live(c),
    "counters": lambda c, _: counters.live(c),
    "ledger": lambda c, _: ledger.count(c),
    "ended twice": lambda c, _: ledger.ended_twice(c),
    "episodes lately": lambda c, _: ledger.miscounted_lately(c),
    "held by the dead": lambda c, _: ledger.held_by_the_dead(c),
    "claims of a holder": lambda c, _: claims.find_claims(c, "here/1"),
    "events in the middle": lambda c, middle: event_log.read(c, [(middle.id, 2)]),
    "what was delivered long ago": lambda c, _: redelivery.find_delivered(
        c, datetime.now(UTC), after=redelivery.START, limit=500
    ),
    "who has waited longest": lambda c, _: c.execute(conditions._OLDEST).all(),
    "whether anything was delivered long ago": lambda c, _: c.execute(redelivery._OLD, {"seconds": -30.0}).one(),
    "what triggers ask first": lambda c, _: conditions.read_facts(c),
    "a tombstone": lambda c, middle: queries.is_pruned(c, middle.id),
    "what waits elsewhere": lambda c, _: rerouting.find_misplaced(c, MODE, "pending", after=JobId("")),
    "what runs elsewhere": lambda c, _: rerouting.find_misplaced(c, MODE, "running", after=JobId("")),
    "what was delivered": lambda c, _: sync.find_delivered(c, sync.a_while_ago(c), redelivery.START, 5_000),
    "what runs at RQ": lambda c, _: sync._find_running(c),
    "dead letters": lambda c, _: dead_letters.page(c, limit=50, cursor=None, resolved=False),
    "resolved dead letters": lambda c, middle: dead_letters.page(c, limit=50, cursor=middle.id, resolved=True),
    "a dead letter": lambda c, middle: dead_letters.job_to_replay(c, middle.id),
    "alerts due": lambda c, _: alerting._due(c),
    "moved by a switch": lambda c, _: outcome._moved(c, SWITCH),
    "failed since a switch": lambda c, _: outcome._failed(c, SWITCH),
    "a heartbeat's look": lambda c, _: heartbeat._still_held(c, running(c)),
    "earlier episodes": lambda c, _: episodes.latest_of(c, ["p1", "p2", "none"], 5),
}
WRITES: dict[str, Callable[[Connection, Middle], Any]] = {
    "claim": lambda c, _: claims.claim_waiting(c, "background_tasks", BY, KINDS, 16),
    "claim of a project": lambda c, _: claims.claim_waiting(c, "background_tasks", BY, KINDS, 1, project_id="none"),
    "heartbeat": lambda c, _: heartbeat._renew(c, running(c), 30.0),
    "prune no jobs": lambda c, _: pruning.prune_jobs(c, YEARS),
    "prune the first jobs": lambda c, _: pruning.prune_jobs(c, 0),
    "prune jobs further on": lambda c, middle: pruning.prune_jobs(c, 0, (middle.completed_at, middle.id)),
    "prune no keys": lambda c, _: pruning.prune_keys(c, YEARS),
    "prune the first keys": lambda c, _: pruning.prune_keys(c, 0),
    "prune keys further on": lambda c, middle: pruning.prune_keys(c, 0, (middle.id, "")),
    "prune alerts": lambda c, middle: pruning.prune_alerts(c, (middle.id,)),
    "prune tickets": lambda c, _: pruning.prune_tickets(c),
    "fold tallies": lambda c, _: counters.fold_tallies(c),
}


def running(connection: Connection) -> list[tuple[JobId, int]]:
    found = connection.execute(select(jobs.c.id, jobs.c.fence).where(jobs.c.status == "running").limit(100))
    return [(JobId(row.id), row.fence) for row in found]


@pytest.mark.parametrize("name", [*READS, *WRITES])
def test_a_look_or_a_batch_costs_no_more_than_what_it_is_about(large: Database, name: str) -> None:
    middle = large.read_now(Middle.of)

    with watched(large) as seen:
        if name in READS:
            large.read_now(lambda connection: READS[name](connection, middle))
        else:
            large.write_now(lambda connection: WRITES[name](connection, middle))

    assert seen.statements
    assert seen.offences == []


@pytest.fixture(scope="module")
def backlog(large: Database) -> Database:
    """The same database with a backlog: most of its jobs wait for RQ, and were delivered long ago."""
    waiting = (
        update(jobs)
        .where(jobs.c.status == "completed")
        .values(status="pending", completed_at=None, backend="rq", seq=PAST.events)
    )
    large.write_now(lambda connection: connection.execute(waiting))
    if large.dialect == "postgresql":
        vacuumed(large)
    return large


BACKLOG: dict[str, Callable[[Connection, Middle], Any]] = {
    "claim": lambda c, _: claims.claim_waiting(c, "rq", BY, KINDS, 16),
    "what is to be delivered": lambda c, _: recovery._find(c, UNDELIVERED),
    "what was delivered, further on": lambda c, middle: sync.find_delivered(
        c, sync.a_while_ago(c), (1, middle.id), 500
    ),
    "who has waited longest": lambda c, _: c.execute(conditions._OLDEST).all(),
    "what waits elsewhere": lambda c, _: rerouting.find_misplaced(c, BACK, "pending", after=JobId("")),
    "what waits elsewhere, further on": lambda c, middle: rerouting.find_misplaced(c, BACK, "pending", after=middle.id),
    "live of nobody": lambda c, _: admission._count(c, ["nobody"]),
    "a page of what waits": lambda c, middle: queries.list_jobs(
        c, JobFilter(user_id=OWNER, status="pending"), limit=50, before=middle.id
    ),
    "a page of what runs": lambda c, middle: queries.list_jobs(
        c, JobFilter(user_id=OWNER, status="running"), limit=50, before=middle.id
    ),
}
BACK = replace(MODE, backend="background_tasks")
UNDELIVERED = [jobs.c.status == "pending", jobs.c.delivered_at.is_(None), claims.is_due(), ~claims.is_paused()]


@pytest.mark.parametrize("name", BACKLOG)
def test_a_batch_of_a_backlog_costs_no_more_than_the_batch(backlog: Database, name: str) -> None:
    middle = backlog.read_now(Middle.of)

    with watched(backlog) as seen:
        backlog.write_now(lambda connection: BACKLOG[name](connection, middle))

    assert seen.statements
    assert seen.offences == []


async def test_a_queue_that_grew_since_anybody_analysed_it_is_looked_at_in_part(database: Database) -> None:
    core = Core(database, ToyKind(STEPS))
    wanted = NewJob(kind=core.kind.kind, user_id="ana", request={}, backend="rq")
    core.jobs.admission = replace(core.jobs.admission, max_live=MANY, max_live_per_user=MANY)
    await asyncio.gather(*(core.jobs.submit(wanted) for _ in range(MANY)))
    now = datetime.now(UTC) + timedelta(hours=1)

    with watched(database) as seen:
        oldest = database.read_now(lambda connection: connection.execute(conditions._OLDEST).all())
        page = database.read_now(partial(redelivery.find_delivered, before=now, after=redelivery.START, limit=100))

    assert (len(oldest), len(page)) == (conditions._OLDEST_LOOKED_AT, 100)
    assert seen.offences == []
