"""Alerts are told: in the log, in the counts, to a webhook that may be away; whoever is killed in between."""

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from sqlalchemy import select, update

from generation_service.database import Database, db_now, totals
from generation_service.database.tables import alerts
from generation_service.jobs import alerts as outbox
from generation_service.jobs.pruning import prune_alerts
from generation_service.switching import alerting
from generation_service.switching.alerting import ALERTS_TOTAL, AlertTeller
from generation_service.telemetry import webhook

_AWAY = "http://127.0.0.1:1/s3cret"


@dataclass
class Hook:
    """Takes what is posted; answers as told, then 204."""

    answers: list[int] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            hook.keys.append(self.headers["Idempotency-Key"])
            self.send_response(hook.answers.pop(0) if hook.answers else 204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_port}/hook?token=s3cret"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield hook
    server.shutdown()
    thread.join()
    server.server_close()


def add(database: Database, number: int = 1) -> None:
    database.write_now(
        lambda connection: outbox.add(
            connection, "document_failed", f"d{number}", {"code": "encrypted"}, fingerprint=f"document d{number}"
        )
    )


def row(database: Database) -> Any:
    return database.read_now(lambda connection: connection.execute(select(alerts)).one())


def change(database: Database, **values: Any) -> None:
    database.write_now(lambda connection: connection.execute(update(alerts).values(**values)))


def counted(database: Database) -> float:
    return database.read_now(totals.read).get((ALERTS_TOTAL, (("type", "document_failed"),)), 0.0)


def lines(caplog: pytest.LogCaptureFixture, action: str = "alert") -> list[logging.LogRecord]:
    return [record for record in caplog.records if getattr(record, "action", None) == action]


async def test_an_alert_is_logged_counted_posted_and_then_told(
    database: Database, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    add(database)
    add(database)  # the same thing
    for _ in range(2):
        await AlertTeller(database=database, webhook_url=hook.url).tell()

    told = row(database)
    assert hook.told == [
        {
            "id": told.id,
            "type": "document_failed",
            "subject": "d1",
            "detail": {"code": "encrypted"},
            "created_at": told.created_at.isoformat(),
        }
    ]
    assert hook.keys == [told.id]
    assert (told.due_at, told.tries, told.told_at is not None) == (None, 1, True)
    assert counted(database) == 1
    assert [record.levelname for record in lines(caplog)] == ["WARNING"]


async def test_without_a_webhook_it_is_logged_once(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    add(database)
    for _ in range(2):
        await AlertTeller(database=database, webhook_url=None).tell()

    assert row(database).told_at is not None
    assert len(lines(caplog)) == 1
    assert counted(database) == 1


async def test_a_webhook_that_is_away_is_tried_again_later_and_not_named(
    database: Database, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    add(database)
    hook.answers = [500]
    teller = AlertTeller(database=database, webhook_url=hook.url)
    await teller.tell()
    await teller.tell()  # not due
    waiting = row(database)
    change(database, due_at=db_now())
    await AlertTeller(database=database, webhook_url=_AWAY).tell()
    later = row(database)
    change(database, due_at=db_now())
    await teller.tell()

    assert (waiting.told_at, waiting.tries) == (None, 1)
    assert 10 < (waiting.due_at - waiting.created_at).total_seconds() < 20
    assert 25 < (later.due_at - later.created_at).total_seconds() < 40
    assert row(database).told_at is not None
    assert hook.keys == [waiting.id] * 2
    assert (len(lines(caplog)), counted(database)) == (1, 1)
    assert "s3cret" not in " ".join(record.getMessage() for record in lines(caplog, "alert_failed"))


async def test_after_a_day_it_is_given_up_and_said(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    add(database)
    change(database, created_at=db_now(-25 * 3600), tries=30)
    await AlertTeller(database=database, webhook_url=_AWAY).tell()

    assert (row(database).due_at, row(database).told_at) == (None, None)
    assert [record.levelname for record in lines(caplog, "alert_given_up")] == ["ERROR"]


async def test_after_a_day_without_any_process_it_is_not_given_up_at_its_first_try(database: Database) -> None:
    add(database)
    change(database, created_at=db_now(-25 * 3600))
    await AlertTeller(database=database, webhook_url=_AWAY).tell()

    assert (row(database).due_at is not None, row(database).tries) == (True, 1)


async def test_who_is_killed_before_the_log_says_it_leaves_it_to_be_said(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    add(database)
    change(database, tries=1, due_at=db_now())  # taken by somebody, and due again since nobody has told it
    await AlertTeller(database=database, webhook_url=None).tell()

    assert len(lines(caplog)) == 1
    assert row(database).told_at is not None


async def test_who_is_to_stop_does_not_wait_for_all_that_is_due(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given many alerts, and a webhook that says nothing for now
    asked, answer, tried = asyncio.Event(), asyncio.Event(), 0

    async def silent(*_: object, **__: object) -> str:
        nonlocal tried
        tried += 1
        asked.set()
        await answer.wait()
        return "TimeoutError"

    monkeypatch.setattr(webhook, "post", silent)
    for number in range(30):
        add(database, number)
    teller = AlertTeller(database=database, webhook_url=_AWAY)
    teller.start()
    await asyncio.wait_for(asked.wait(), 20)

    # When the process is to stop in the middle of its first few
    stopping = asyncio.create_task(teller.stop())
    await asyncio.sleep(0)
    answer.set()
    await asyncio.wait_for(stopping, 20)

    # Then the others are left to another process
    assert 0 < tried <= 4


async def test_a_turn_is_one_batch(database: Database, hook: Hook) -> None:
    for number in range(30):
        add(database, number)
    teller = AlertTeller(database=database, webhook_url=hook.url)
    await teller.tell()
    after_one = len(hook.told)
    await teller.tell()

    assert (after_one, len(hook.told)) == (20, 30)


async def test_who_is_killed_while_telling_leaves_it_due_again(
    database: Database, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    async def killed(*_: object, **__: object) -> None:
        raise Killed

    add(database)
    with monkeypatch.context() as dying:
        dying.setattr(webhook, "post", killed)
        with pytest.raises(Killed):
            await AlertTeller(database=database, webhook_url=hook.url).tell()

    assert row(database).told_at is None
    assert row(database).due_at is not None
    change(database, due_at=db_now())
    await AlertTeller(database=database, webhook_url=hook.url).tell()
    assert len(hook.told) == 1
    assert counted(database) == 1


async def test_many_tellers_at_once_tell_each_alert_once(database: Database, hook: Hook) -> None:
    for number in range(30):
        add(database, number)
    for _ in range(2):
        await asyncio.gather(*(AlertTeller(database=database, webhook_url=hook.url).tell() for _ in range(4)))

    assert sorted(told["subject"] for told in hook.told) == sorted(f"d{number}" for number in range(30))
    assert counted(database) == 30


async def test_the_loop_tells_and_stops(database: Database, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerting, "_TURN_SECONDS", 0.01)
    teller = AlertTeller(database=database, webhook_url=hook.url)
    teller.start()
    add(database)
    async with asyncio.timeout(20):
        while row(database).told_at is None:  # noqa: ASYNC110 - the row says it
            await asyncio.sleep(0.01)
    await teller.stop()

    assert len(hook.told) == 1


async def test_told_alerts_of_over_a_month_ago_are_pruned(database: Database) -> None:
    for number in range(3):
        add(database, number)
    change(database, created_at=db_now(-31 * 86_400), id="00" + alerts.c.subject)  # ids tell the time, too
    add(database, 3)
    database.write_now(
        lambda connection: connection.execute(
            update(alerts).where(alerts.c.subject.in_(["d0", "d3"])).values(due_at=None, told_at=db_now())
        )
    )
    database.write_now(prune_alerts)

    left = database.read_now(lambda connection: connection.execute(select(alerts.c.subject)).scalars().all())
    assert sorted(left) == ["d1", "d2", "d3"]
