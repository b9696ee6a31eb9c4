"""Seeing all of RQ, however much of it there is and whatever somebody has put there."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis

from generation_service.switching.ports import ALL_PLACES, WAITING_PLACES, Entry, Place, RqRefused
from scripts.embedded.redis_server import EmbeddedRedis
from tests.rq.support.deliveries import a_job, deliver, plant
from workers import rq_view
from workers.names import TICK_PREFIX, rq_id
from workers.rq_view import RedisView

LATER = 2_000_000_000
CALL = b'["workers.entrypoints.run_job", null, ["%s"], {}]'


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with Redis.from_url(redis_url) as connected:
        yield connected


@pytest.fixture
def view(redis_url: str) -> Iterator[RedisView]:
    opened = RedisView(redis_url, timeout_seconds=5)
    yield opened
    opened.close()


def entries(view: RedisView, *places: Place) -> list[Entry]:
    return [entry for page in view.pages(frozenset(places) or ALL_PLACES) for entry in page.entries]


def test_every_place_is_seen_with_its_entries_as_they_are(client: Any, view: RedisView, redis_url: str) -> None:
    jobs = {place: a_job(delivery=number) for number, place in enumerate(sorted(ALL_PLACES), 1)}
    deliver(redis_url, [jobs["queue"]])
    client.rpush("rq:queue:rag_processing_low:intermediate", rq_id(jobs["intermediate"]))
    until = {"started": LATER, "abandoned": 1}
    for place in ALL_PLACES - {"queue", "intermediate"}:
        running = place in until
        key, member = (
            ("rq:wip", f"{rq_id(jobs[place])}:{uuid4().hex}") if running else (f"rq:{place}", rq_id(jobs[place]))
        )
        client.zadd(f"{key}:rag_processing_high", {member: until.get(place, LATER)})

    found = {entry.place: entry for entry in entries(view)}

    assert {place: (one.job_id, one.delivery, one.reason) for place, one in found.items()} == {
        place: (job.id, job.delivery, None) for place, job in jobs.items()
    }
    assert found["queue"].status == "queued"
    assert found["intermediate"].queue == "rag_processing_low"


def test_only_the_places_that_are_asked_for_are_told(client: Any, view: RedisView) -> None:
    client.zadd("rq:wip:rag_processing", {f"{rq_id(a_job())}:x": LATER, f"{rq_id(a_job())}:y": 1})

    assert [one.place for one in entries(view, "abandoned")] == ["abandoned"]
    assert [one.place for one in entries(view, "started")] == ["started"]
    assert entries(view, "queue") == []


def test_foreign_entries_are_told_with_their_reason_and_their_payload(client: Any, view: RedisView) -> None:
    job = a_job()
    plant(client, "evil", b'["os.system", null, ["true"], {}]')
    plant(client, "odd", b"\x80\x04pickle")
    plant(client, "own-name", CALL % job.id.encode())
    plant(client, f"{TICK_PREFIX}17", b'["workers.entrypoints.fire_schedules", null, [], {}]')
    client.rpush("rq:queue:rag_processing", b"\x00\xff", "nothing", f"{uuid4()}-x")

    found = {one.rq_id: one for one in entries(view)}

    assert {name: one.reason for name, one in found.items() if one.reason} == {
        "evil": "foreign_function",
        "odd": "unreadable_payload",
        "\\x00\\xff": "foreign_id",
        "nothing": "missing_payload",
        next(name for name in found if name.endswith("-x")): "missing_payload",
    }
    assert (found["evil"].raw, found["odd"].raw) == (b'["os.system", null, ["true"], {}]', b"\x80\x04pickle")
    assert (found["own-name"].job_id, found["own-name"].delivery) == (job.id, None)
    assert (found[f"{TICK_PREFIX}17"].job_id, found[f"{TICK_PREFIX}17"].reason) == (None, None)


def test_an_id_of_ours_that_calls_something_else_is_foreign(client: Any, view: RedisView) -> None:
    plant(client, rq_id(a_job()), b'["os.system", null, ["true"], {}]')

    (entry,) = entries(view)

    assert (entry.job_id, entry.reason) == (None, "foreign_function")


def test_an_oversized_payload_is_cut_off(client: Any, view: RedisView) -> None:
    plant(client, "large", b"x" * 200_000)

    (entry,) = entries(view)

    assert (entry.reason, len(entry.raw)) == ("oversized_payload", 64 * 1024 + 1)


def test_a_hundred_thousand_ids_come_page_by_page(client: Any, view: RedisView) -> None:
    ids = [f"{uuid4()}-1" for _ in range(100_000)]
    for start in range(0, len(ids), 10_000):
        client.rpush("rq:queue:rag_processing", *ids[start : start + 10_000])

    pages = [page.entries for page in view.pages(frozenset({"queue"}))]

    assert max(len(page) for page in pages) <= rq_view._PAGE
    assert {entry.rq_id for page in pages for entry in page} == set(ids)


def test_taking_out_and_popping_on_the_way_hides_nothing(
    client: Any, view: RedisView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rq_view, "_PAGE", 10)
    ids = [f"{uuid4()}-1" for _ in range(95)]
    client.rpush("rq:queue:rag_processing", *ids)
    popped: set[str] = set()

    seen: set[str] = set()
    for page in view.pages(frozenset({"queue"})):
        seen |= {entry.rq_id for entry in page.entries}
        view.take_out(page.entries)
        popped |= {one.decode() for one in client.lpop("rq:queue:rag_processing", 2) or []}

    assert seen | popped == set(ids)
    assert client.llen("rq:queue:rag_processing") == 0


def test_values_of_a_wrong_type_are_named_and_hide_nothing_else(client: Any, view: RedisView) -> None:
    client.set("rq:queue:rag_processing_high", "text")
    client.hset("rq:wip:rag_processing", "a", "hash")
    client.rpush("rq:finished:rag_processing", "list")
    client.set("rq:job:strange", "text")
    client.rpush("rq:queue:rag_processing", "strange")

    (page,) = view.pages()

    assert sorted(page.unreadable) == [
        "rq:finished:rag_processing",
        "rq:queue:rag_processing_high",
        "rq:wip:rag_processing",
    ]
    assert [(one.rq_id, one.reason) for one in page.entries] == [("strange", "missing_payload")]
    assert view.absent(["a-1"]) == {"a-1"}
    assert view.occurrences(["strange"]) == {"strange": ["queue"]}


def test_what_is_nowhere_is_absent(client: Any, view: RedisView, redis_url: str) -> None:
    waiting, started, finished, canceled, gone = (a_job() for _ in range(5))
    deliver(redis_url, [waiting])
    client.zadd("rq:wip:rag_processing", {f"{rq_id(started)}:x": LATER})
    client.zadd("rq:finished:rag_processing", {rq_id(finished): LATER})
    client.zadd("rq:canceled:rag_processing", {rq_id(canceled): LATER})

    everything = [rq_id(one) for one in (waiting, started, finished, canceled, gone)]

    assert view.absent(everything) == {rq_id(gone)}
    assert view.absent([]) == set()


def test_an_id_is_told_once_for_each_time_it_lies_there(client: Any, view: RedisView) -> None:
    client.rpush("rq:queue:rag_processing", "a", "b", "a")
    client.zadd("rq:wip:rag_processing_low", {"b:1": LATER, "b:2": LATER})

    found = view.occurrences(["a", "b", "c"])

    assert {name: sorted(places) for name, places in found.items()} == {
        "a": ["queue", "queue"],
        "b": ["queue", "started", "started"],
    }


def test_taking_out_leaves_the_others_in_order_and_is_counted_once(client: Any, view: RedisView) -> None:
    ids = [f"id-{number}" for number in range(2500)]
    client.rpush("rq:queue:rag_processing", *ids)
    client.hset("rq:job:id-0", "data", "x")
    wanted = [one for one in entries(view) if int(one.rq_id[3:]) % 2 == 0]

    first, again = view.take_out(wanted), view.take_out(wanted)

    assert (first, again) == (1250, 0)
    assert client.lrange("rq:queue:rag_processing", 0, -1) == [one.encode() for one in ids[1::2]]
    assert not client.exists("rq:job:id-0")


def test_setting_aside_again_sets_nothing_aside_twice(client: Any, view: RedisView) -> None:
    plant(client, "evil", b'["os.system", null, [], {}]')
    client.zadd("rq:failed:rag_processing", {"worse": LATER})
    found = entries(view)

    first, again = view.set_aside(found), view.set_aside(found)

    assert (first, again, client.llen("rq:queue:migration_failed")) == (2, 0, 2)
    letters = {letter.detail: letter for page in view.letters() for letter in page}
    assert (letters["evil"].origin, letters["evil"].reason) == ("rag_processing", "foreign_function")
    assert letters["evil"].raw == b'["os.system", null, [], {}]'


@pytest.mark.parametrize(
    "left",
    [
        b"\xff\x00",
        b'{"rq_id": 1}',
        b'{"rq_id": "a", "queue": "elsewhere", "reason": "r", "raw": ""}',
        b'{"rq_id": "a", "queue": "rag_processing", "reason": "r", "raw": "!"}',
        b'{"rq_id": "\\ud800", "queue": "rag_processing", "reason": "r", "raw": ""}',
    ],
)
def test_what_others_have_left_aside_is_kept_as_it_is(client: Any, view: RedisView, left: bytes) -> None:
    client.rpush("rq:queue:migration_failed", left)

    ((letter,),) = view.letters()

    assert (letter.origin, letter.raw) == ("migration_failed", left)


def test_a_letter_is_told_in_a_form_that_every_database_takes(client: Any, view: RedisView) -> None:
    left = {"rq_id": "a\0", "queue": "rag_processing", "reason": "b\0" * 100, "raw": ""}
    client.rpush("rq:queue:migration_failed", json.dumps(left))

    ((letter,),) = view.letters()

    assert (letter.detail, letter.reason[:5], len(letter.reason)) == ("a\\x00", "b\\x00", 64)


def test_an_id_with_a_number_beyond_all_measure_is_no_delivery_of_ours(client: Any, view: RedisView) -> None:
    job = a_job()
    client.zadd("rq:failed:rag_processing", {f"{job.id}-{'9' * 5000}": LATER})

    (entry,) = entries(view)

    assert (entry.job_id, entry.delivery) == (job.id, None)


def test_nothing_aside_is_no_page(client: Any, view: RedisView) -> None:
    assert list(view.letters()) == []
    client.set("rq:queue:migration_failed", "text")
    assert list(view.letters()) == []


def test_a_redis_that_is_gone_or_refuses_is_told_apart(redis_server: EmbeddedRedis) -> None:
    view = RedisView(redis_server.url, timeout_seconds=1)
    with Redis.from_url(redis_server.url) as client:
        client.rpush("rq:queue:rag_processing", "a")
        client.replicaof("127.0.0.1", "1")
        found = entries(view, *WAITING_PLACES)
        with pytest.raises(RqRefused):
            view.take_out(found)
        assert client.llen("rq:queue:rag_processing") == 1
    redis_server.freeze()
    with pytest.raises(ConnectionError, match="did not answer"):
        view.absent(["a"])
    redis_server.kill()
    for call in (lambda: list(view.pages()), lambda: view.occurrences(["a"]), lambda: list(view.letters())):
        with pytest.raises(ConnectionError):
            call()
    view.close()


def test_looking_changes_nothing(client: Any, view: RedisView) -> None:
    client.zadd("rq:wip:rag_processing", {f"{rq_id(a_job())}:x": 1})
    client.rpush("rq:queue:rag_processing", "a")
    before = {key: client.dump(key) for key in client.scan_iter()}

    entries(view)
    view.absent(["a"])

    assert {key: client.dump(key) for key in client.scan_iter()} == before


def test_an_id_that_names_a_job_may_be_believed(client: Any, view: RedisView) -> None:
    job = a_job()
    plant(client, rq_id(job), b'["os.system", null, ["true"], {}]')
    plant(client, "evil", b'["os.system", null, ["true"], {}]')

    (page,) = view.pages(by_id=True)

    assert {(one.rq_id, one.job_id, one.reason) for one in page.entries} == {
        (rq_id(job), job.id, None),
        ("evil", None, "foreign_function"),
    }
