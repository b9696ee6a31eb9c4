"""What lies in RQ: every entry of our queues and registries, read at an instant a page and taken out one step each.

Whatever lies under our keys is met: entries of others, junk, values of a wrong type. Nothing is
unpickled, and nothing here changes RQ unless it is asked to take something out.
"""

import base64
import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from generation_service.jobs.ids import is_id
from generation_service.switching.ports import (
    ALL_PLACES,
    RUNNING_PLACES,
    WAITING_PLACES,
    Entry,
    Letter,
    Page,
    Place,
    RqRefused,
)
from workers import payload, scripts
from workers.names import MIGRATION_FAILED_KEY, QUEUES, intermediate_key, job_id_of, queue_key, registry_key
from workers.redis_connection import connect

_PAGE = 1_000  # ids of each place in one look
_READ_AT_ONCE = 500  # payloads in one round trip
_OUT_AT_ONCE = 1_000
_LONGEST_ID = 60  # of a delivery: no number of ours has more than a few digits
_MOST_LETTER_BYTES = 1024 * 1024

_LISTS: tuple[Place, ...] = ("queue", "intermediate")
_REGISTRIES: tuple[Place, ...] = ("finished", "failed", "deferred", "scheduled", "canceled")
_PLACES: tuple[Place, ...] = (*_LISTS, "started", *_REGISTRIES)  # in the order in which the scripts take them


class RedisView:
    """Implements `switching.ports.RqView`. Safe to use from any thread; nothing is sent before the first call."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self._client = connect(url, timeout_seconds=timeout_seconds)
        self._look = self._client.register_script(scripts.LOOK)
        self._read = self._client.register_script(scripts.READ)
        self._locate = self._client.register_script(scripts.LOCATE)
        self._absent = self._client.register_script(scripts.ABSENT)
        self._take_out = self._client.register_script(scripts.TAKE_OUT)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def pages(self, places: Collection[Place] = ALL_PLACES, *, by_id: bool = False) -> Iterator[Page]:
        """What lies in these places; see the port."""
        # From the last position to the first: what is taken out or popped on the way hides nothing that is to come.
        above = max(self._largest(places), 1)
        while above > 0:
            first = max(0, above - _PAGE)
            with _as_connection_error():
                page = self._with_payloads(
                    self._page(places, first, above - 1), frozenset() if by_id else WAITING_PLACES
                )
            yield page
            above = first

    def absent(self, rq_ids: Sequence[str]) -> set[str]:
        """Those that are nowhere; see the port."""
        return {one.decode() for one in self._ask(self._absent, rq_ids, _PLACES)}

    def occurrences(self, rq_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Where each waits or runs; see the port."""
        places = tuple(place for place in _PLACES if place in WAITING_PLACES | RUNNING_PLACES)
        found: dict[str, list[str]] = defaultdict(list)
        for rq_id, place in self._find(rq_ids, places):
            found[rq_id].append(place)
        return found

    def take_out(self, entries: Sequence[Entry]) -> int:
        """Take entries out; see the port."""
        return self._out(entries, lambda _: "", aside=False)

    def set_aside(self, entries: Sequence[Entry]) -> int:
        """Move entries to where a person looks for them; see the port."""
        return self._out(entries, _as_letter, aside=True)

    def letters(self) -> Iterator[Sequence[Letter]]:
        """What was set aside; see the port."""
        first = 0
        while True:
            with _as_connection_error():
                if self._client.type(MIGRATION_FAILED_KEY) != b"list":
                    return
                found = self._client.lrange(MIGRATION_FAILED_KEY, first, first + _READ_AT_ONCE - 1)
            if not found:
                return
            yield [_letter(one) for one in found]
            first += _READ_AT_ONCE

    def _largest(self, places: Collection[Place]) -> int:
        """How many members the largest of these places has."""
        with _as_connection_error(), self._client.pipeline(transaction=False) as pipeline:
            for place, queue in _marks(places):
                (pipeline.llen if place in _LISTS else pipeline.zcard)(_key(place, queue))
            return max((one for one in pipeline.execute(raise_on_error=False) if isinstance(one, int)), default=0)

    def _page(self, places: Collection[Place], first: int, last: int) -> Page:
        marks = _marks(places)
        keys = [_key(*mark) for mark in marks]
        now, *found = self._look(keys=keys, args=[first, last, *_counts([place for place, _ in marks])])
        entries: list[Entry] = []
        unreadable: list[str] = []
        for (place, queue), key, members in zip(marks, keys, found, strict=True):
            if isinstance(members, bytes):
                unreadable.append(key)
                continue
            one = _running(members, queue, float(now)) if place == "started" else _listed(members, queue, place)
            entries += [entry for entry in one if entry.place in places]
        return Page(entries, unreadable)

    def _with_payloads(self, page: Page, places: Collection[Place]) -> Page:
        """The page with what the payloads say of the entries in `places`, and of those whose id names no job."""
        entries = list(page.entries)
        wanted = [number for number, one in enumerate(entries) if one.job_id is None or one.place in places]
        for start in range(0, len(wanted), _READ_AT_ONCE):
            numbers = wanted[start : start + _READ_AT_ONCE]
            ids = [_hash_id(entries[number]) for number in numbers]
            answers = self._read(args=[payload.MOST_PAYLOAD_BYTES, *ids])
            for number, (status, data) in zip(numbers, answers, strict=True):
                entries[number] = _told(entries[number], status, data)
        return Page(entries, page.unreadable)

    def _find(self, rq_ids: Sequence[str], places: Sequence[Place]) -> list[tuple[str, Place]]:
        marks, found = _marks(places), self._ask(self._locate, rq_ids, places)
        pairs = zip(found[::2], found[1::2], strict=True)
        return [(rq_id.decode(), marks[number - 1][0]) for rq_id, number in pairs]

    def _ask(self, script: Any, rq_ids: Sequence[str], places: Sequence[Place]) -> list[Any]:
        """What a script says of these ids, which looks at all of the places at one instant."""
        if not rq_ids:
            return []
        marks = _marks(places)
        counts = _counts([place for place, _ in marks])
        with _as_connection_error():
            answer: list[Any] = script(keys=[_key(*mark) for mark in marks], args=[*counts, *rq_ids])
        return answer

    def _out(self, entries: Sequence[Entry], said: Any, *, aside: bool) -> int:
        by_key: dict[str, list[Entry]] = defaultdict(list)
        for entry in entries:
            by_key[_key(entry.place, entry.queue)].append(entry)
        taken = 0
        for key, mine in by_key.items():
            for start in range(0, len(mine), _OUT_AT_ONCE):
                told = [part for one in mine[start : start + _OUT_AT_ONCE] for part in (one.raw_id, said(one))]
                with _as_connection_error():
                    taken += len(self._take_out(keys=[key, MIGRATION_FAILED_KEY], args=[int(aside), *told]))
        return taken


def _marks(places: Collection[Place]) -> list[tuple[Place, str]]:
    """Each of these places of each queue, in the order in which the scripts take them."""
    wanted = [place for place in _PLACES if place in places or (place == "started" and "abandoned" in places)]
    return [(place, queue) for place in wanted for queue in QUEUES]


def _key(place: Place, queue: str) -> str:
    if place == "queue":
        return queue_key(queue)
    return intermediate_key(queue) if place == "intermediate" else registry_key(place, queue)


def _counts(places: Sequence[Place]) -> tuple[int, int]:
    """How many of the keys are lists, and how many registries of what runs follow them."""
    return sum(place in _LISTS for place in places), sum(place in RUNNING_PLACES for place in places)


def _listed(members: Sequence[bytes], queue: str, place: Place) -> list[Entry]:
    return [_entry(member, member, queue, place) for member in members]


def _running(members: Sequence[bytes], queue: str, now: float) -> list[Entry]:
    pairs = zip(members[::2], members[1::2], strict=True)
    return [
        _entry(member, member.partition(b":")[0], queue, "started" if float(until) >= now else "abandoned")
        for member, until in pairs
    ]


def _entry(member: bytes, raw_id: bytes, queue: str, place: Place) -> Entry:
    rq_id = payload.printable(raw_id)
    job_id = job_id_of(rq_id)
    known = job_id is not None and is_id(job_id) and len(rq_id) <= _LONGEST_ID
    return Entry(
        rq_id=rq_id,
        raw_id=member,
        queue=queue,
        place=place,
        status=None,
        job_id=job_id if known else None,
        delivery=int(rq_id.rpartition("-")[2]) if known else None,
        reason=None if known else "missing_payload",
        raw=b"",
    )


def _hash_id(entry: Entry) -> bytes:
    return entry.raw_id.partition(b":")[0] if entry.place in RUNNING_PLACES else entry.raw_id


def _told(entry: Entry, status: bytes | None, data: bytes | None) -> Entry:
    told = payload.read(entry.queue, _hash_id(entry), data)
    word = payload.printable(status)[:20] if status else None
    if isinstance(told, payload.ForeignEntry):
        return replace(entry, status=word, job_id=None, reason=told.reason, raw=told.raw)
    number = entry.delivery if told.job_id == entry.job_id else None
    return replace(entry, status=word, job_id=told.job_id, delivery=number, reason=None, raw=data or b"")


def _as_letter(entry: Entry) -> str:
    raw = base64.b64encode(entry.raw).decode()
    return json.dumps({"rq_id": entry.rq_id, "queue": entry.queue, "reason": entry.reason or "unknown_job", "raw": raw})


def _letter(found: bytes) -> Letter:
    """What was set aside, as the dead letter that was kept then; of what others have put there, its bytes."""
    try:
        match json.loads(found):
            case {"rq_id": str(rq_id), "queue": str(queue), "reason": str(reason), "raw": str(raw)} if queue in QUEUES:
                decoded = base64.b64decode(raw, validate=True)
                told = [payload.printable(text.encode()) for text in (reason, rq_id)]
                return Letter(origin=queue, reason=told[0][:64], detail=told[1], raw=decoded)
    except (ValueError, RecursionError):
        pass
    return Letter(origin="migration_failed", reason="left_by_a_migration", detail="", raw=found[:_MOST_LETTER_BYTES])


@contextmanager
def _as_connection_error() -> Iterator[None]:
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError) as error:
        raise ConnectionError(f"Redis did not answer: {type(error).__name__}") from error
    except RedisError as error:
        raise RqRefused(f"Redis refused: {type(error).__name__}") from error
