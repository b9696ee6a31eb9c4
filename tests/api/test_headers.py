"""Headers of our own: Idempotency-Key, Prefer, Last-Event-ID."""

import pytest
from starlette.requests import Request

from generation_service.api.headers import fingerprint, idempotency_key, last_event_id, parse_key, preferred_wait
from generation_service.errors import Refused


def request(**headers: str | list[str]) -> Request:
    pairs = [
        (name, value) for name, given in headers.items() for value in ([given] if isinstance(given, str) else given)
    ]
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in pairs]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw, "query_string": b""})


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ('"8e03978e"', "8e03978e"),
        ('"with \\"quotes\\" and \\\\"', 'with "quotes" and \\'),
        ("k" * 255, "k" * 255),
        ("two words", "two words"),
        ("", None),
        ('""', None),
        ("k" * 256, None),
        (f'"{"k" * 256}"', None),
        ('"open', None),
        ("b\u00e4r", None),
        ("tab\tinside", None),
    ],
)
def test_a_key_is_1_to_255_printable_ascii_characters_quoted_or_bare(header: str, key: str | None) -> None:
    assert parse_key(header) == key


def test_a_quoted_key_is_the_same_key_as_a_bare_one() -> None:
    assert parse_key('"abc"') == parse_key("abc")


@pytest.mark.parametrize("given", ["", ["a", "b"]])
def test_an_empty_key_and_two_keys_are_refused(given: str | list[str]) -> None:
    with pytest.raises(Refused) as refused:
        idempotency_key(request(idempotency_key=given), "r", {})

    assert (refused.value.code, refused.value.status) == ("idempotency_key_invalid", 400)


def test_no_key_is_no_key() -> None:
    assert idempotency_key(request(), "r", {}) is None


def test_the_fingerprint_does_not_depend_on_how_a_request_is_written() -> None:
    assert fingerprint({"a": 1, "b": "가"}) == fingerprint({"b": "가", "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=10", 10),
        ("respond-async, wait=10", 10),
        ('wait="10"', 10),
        ("WAIT = 3", 3),
        ("wait=600", 60),
        ("wait=0", 0),
        ("wait=soon", None),
        ("wait=-1", None),
        ("return=minimal", None),
    ],
)
def test_prefer_is_obeyed_up_to_60_seconds_and_ignored_where_it_is_not_understood(
    header: str, seconds: int | None
) -> None:
    assert preferred_wait(request(prefer=header)) == seconds


def test_last_event_id_is_the_number_of_an_event() -> None:
    assert last_event_id(request(last_event_id="12")) == 12
    assert last_event_id(request()) is None
    assert last_event_id(request(last_event_id="")) is None


@pytest.mark.parametrize("given", ["-1", "x", "1.5", "9" * 30, "1 2"])
def test_any_other_last_event_id_is_refused(given: str) -> None:
    with pytest.raises(Refused) as refused:
        last_event_id(request(last_event_id=given))

    assert (refused.value.code, refused.value.status) == ("last_event_id_invalid", 400)
