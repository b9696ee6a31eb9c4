"""The audit is a chain: whatever is done to an entry afterwards is found, and the first bad one is named."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, insert, select, update

from generation_service.database import Database
from generation_service.database.operations import audit as table
from generation_service.database.tables import service_state
from generation_service.errors import Refused
from generation_service.switching import audit
from generation_service.switching.audit import Entry, Head, Verdict

LENGTH = 5


def write(database: Database, count: int = LENGTH) -> list[Head]:
    def entry(number: int) -> Entry:
        return Entry(actor="admin@10.0.0.7", action="pause", reason=f"이유 {number}", request={"n": number})

    return [
        database.write_now(lambda connection, number=number: audit.record(connection, entry(number)))
        for number in range(1, count + 1)
    ]


def change(database: Database, *statements: Any) -> None:
    def unit(connection: Connection) -> None:
        for statement in statements:
            connection.execute(statement)

    database.write_now(unit)


def found(database: Database, noted: Head | None = None) -> Verdict:
    return database.read_now(lambda connection: audit.verify(connection, noted))


def move(old: int, new: int) -> Any:
    return update(table).where(table.c.sequence == old).values(sequence=new)


def test_an_untouched_record_is_intact_and_numbered_from_one(database: Database) -> None:
    heads = write(database)

    verdict = found(database)

    assert [head.sequence for head in heads] == [1, 2, 3, 4, 5]
    assert (verdict.intact, verdict.entries, verdict.head) == (True, LENGTH, heads[-1])


def test_an_empty_record_is_intact(database: Database) -> None:
    assert found(database) == Verdict(entries=0, head=Head())


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("actor", "admin@10.0.0.8"),
        ("action", "resume"),
        ("reason", "이유 33"),
        ("request", {"n": 4}),
        ("outcome", "failed"),
        ("result", {"moved": 1}),
        ("at", datetime(2020, 1, 1, tzinfo=UTC)),
        ("previous", "f" * 64),
        ("digest", "f" * 64),
    ],
)
def test_a_changed_entry_is_named(database: Database, column: str, value: Any) -> None:
    write(database)

    change(database, update(table).where(table.c.sequence == 3).values({column: value}))

    assert (found(database).broken_at, found(database).why) == (3, "changed")


@pytest.mark.parametrize("gone", [1, 3, LENGTH])
def test_a_removed_entry_is_named(database: Database, gone: int) -> None:
    write(database)

    change(database, delete(table).where(table.c.sequence == gone))

    assert (found(database).broken_at, found(database).why) == (gone, "missing")


def test_a_removed_entry_is_named_when_the_rest_moves_up(database: Database) -> None:
    write(database)

    change(database, delete(table).where(table.c.sequence == 3), move(4, 3), move(5, 4))

    assert found(database).broken_at == 3


def test_two_entries_in_another_order_are_named(database: Database) -> None:
    write(database)

    change(database, move(2, 99), move(3, 2), move(99, 3))

    assert (found(database).broken_at, found(database).why) == (2, "changed")


def test_an_entry_that_was_put_in_between_is_named(database: Database) -> None:
    write(database)
    fourth = {**_row(database, 3), "sequence": 4, "reason": "never said"}

    change(database, move(5, 6), move(4, 5), insert(table).values(fourth))

    assert (found(database).broken_at, found(database).why) == (4, "changed")


def test_an_entry_that_was_added_behind_the_head_is_named(database: Database) -> None:
    last = write(database)[-1]
    sixth = {**_row(database, LENGTH), "sequence": LENGTH + 1, "previous": last.digest}

    change(database, insert(table).values({**sixth, "digest": "0" * 64}))

    assert (found(database).broken_at, found(database).why) == (LENGTH + 1, "inserted")


def test_a_record_that_was_cut_off_is_found(database: Database) -> None:
    write(database)

    change(database, delete(table).where(table.c.sequence >= 3))

    assert (found(database).broken_at, found(database).why, found(database).entries) == (3, "missing", 2)


def test_a_head_that_was_taken_back_to_an_older_entry_is_found(database: Database) -> None:
    third = write(database)[2]

    _set_head(database, third)

    assert (found(database).broken_at, found(database).why) == (4, "inserted")


def test_a_chain_whose_end_was_computed_anew_does_not_fit_its_head(database: Database) -> None:
    write(database)
    row = {**_row(database, LENGTH), "reason": "something nicer"}
    row.pop("digest")

    change(
        database,
        update(table).where(table.c.sequence == LENGTH).values(reason=row["reason"], digest=audit._digest_of(row)),
    )

    assert (found(database).broken_at, found(database).why) == (LENGTH, "head")


def test_a_head_noted_elsewhere_shows_that_everything_was_replaced(database: Database) -> None:
    noted = write(database)[2]
    change(database, delete(table), delete(service_state).where(service_state.c.name == audit.HEAD))
    database.write_now(lambda connection: audit.record(connection, Entry(actor="cli:eve", action="pause")))

    assert found(database).intact
    assert (found(database, noted).broken_at, found(database, noted).why) == (2, "missing")


def test_a_head_noted_elsewhere_is_found_in_a_record_that_has_grown(database: Database) -> None:
    noted = write(database)[2]

    assert found(database, noted).intact
    assert found(database, Head(sequence=3, digest="f" * 64)).broken_at == 3


def test_entries_of_many_at_once_make_one_chain(database: Database) -> None:
    """Given four threads that write at the same time, the first entry too; then none is lost and none doubled."""
    threads = [threading.Thread(target=write, args=(database, 10)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (found(database).intact, found(database).entries) == (True, 40)


def test_what_is_rolled_back_leaves_no_entry(database: Database) -> None:
    write(database, 1)

    def unit(connection: Connection) -> None:
        audit.record(connection, Entry(actor="cli:ana", action="drain"))
        raise Refused("reason_required", 422)

    with pytest.raises(Refused):
        database.write_now(unit)

    assert (found(database).intact, found(database).entries) == (True, 1)


@pytest.mark.parametrize(
    "value",
    [
        {"n": 1.0, "big": 1e16, "huge": 1e300, "tiny": 1e-9, "third": 1 / 3, "minus": -0.0, "none": float("nan")},
        {"b": {"y": [1, {"x": None}], "a": True}, "a": "한국어 🎬", "": ""},
        {"nul": "a\0b", "half": "\ud800", "n\0ul": 1},
        {"long": "x" * 100_000},
        {1: {2}, "when": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
)
def test_whatever_is_entered_is_still_intact_when_it_is_read_again(database: Database, value: Any) -> None:
    entry = Entry(actor="a\0" * 300, action="x" * 99, reason="\udcff" * 5000, request=value, result=value)

    database.write_now(lambda connection: audit.record(connection, entry))

    assert found(database).intact


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(value=st.dictionaries(st.text(max_size=8), _JSON, max_size=4), reason=st.text(max_size=50))
def test_any_json_and_any_text_keeps_its_digest(database: Database, value: Any, reason: str) -> None:
    entry = Entry(actor="admin@x", action="any", reason=reason, request=value)

    database.write_now(lambda connection: audit.record(connection, entry))

    assert found(database).intact


def test_a_page_goes_on_where_the_one_before_it_ended(database: Database) -> None:
    write(database)

    def page(cursor: str | None) -> Any:
        return database.read_now(lambda connection: audit.page(connection, limit=2, cursor=cursor))

    first = page(None)
    second = page(first.next_cursor)
    last = page(second.next_cursor)

    assert [row["sequence"] for one in (first, second, last) for row in one.items] == [5, 4, 3, 2, 1]
    assert last.next_cursor is None
    with pytest.raises(Refused, match="invalid_cursor"):
        page("-1")


def test_no_more_entries_of_a_kind_a_minute_than_the_limit_and_other_kinds_have_their_own(database: Database) -> None:
    def note(kind: str) -> float:
        entry = Entry(actor="admin@10.0.0.9", action="stats", outcome="unauthorized")
        return database.write_now(lambda connection: audit.record_bounded(connection, entry, kind=kind, limit=3))

    _begin_a_minute(database)
    answers = [note("unauthorized") for _ in range(5)]

    assert answers[:3] == [0, 0, 0]
    assert all(0 < seconds <= 60 for seconds in answers[3:])
    assert note("read:stats") == 0
    assert (found(database).intact, found(database).entries) == (True, 4)


def test_the_next_minute_has_room_again(database: Database) -> None:
    entry = Entry(actor="admin@10.0.0.9", action="stats", outcome="unauthorized")
    full = {"minute": 1.0, "entries": 3}  # of a minute that is long over
    row = {"name": "audit_bound:unauthorized", "value": full, "updated_at": datetime.now(UTC)}
    change(database, insert(service_state).values(row))

    assert not database.write_now(
        lambda connection: audit.record_bounded(connection, entry, kind="unauthorized", limit=3)
    )


def _begin_a_minute(database: Database) -> None:
    """Where a minute is about to end, let it: the entries that follow are to be of one and the same."""
    wait_for: Callable[[], bool] = lambda: datetime.now(UTC).second < 55  # noqa: E731 - it reads as the condition it is
    while not wait_for():
        threading.Event().wait(0.2)


def _row(database: Database, sequence: int) -> dict[str, Any]:
    wanted = select(table).where(table.c.sequence == sequence)
    return dict(database.read_now(lambda connection: connection.execute(wanted).mappings().one()))


def _set_head(database: Database, head: Head) -> None:
    value = {"sequence": head.sequence, "digest": head.digest}
    change(database, update(service_state).where(service_state.c.name == audit.HEAD).values(value=value))
