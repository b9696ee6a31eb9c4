"""Who is asking: tokens, and cookies that stand for them on event streams."""

import time

import pytest

from generation_service.api import auth, tickets
from generation_service.api.auth import Identity
from generation_service.database import Database

TOKENS = {"s3cret": "ana", "0ther": "ben"}


@pytest.mark.parametrize(
    ("header", "user"),
    [
        ("Bearer s3cret", "ana"),
        ("bearer 0ther", "ben"),
        ("Bearer  s3cret ", "ana"),
        ("Bearer wrong", None),
        ("Basic s3cret", None),
        ("s3cret", None),
        ("Bearer", None),
        ("Bearer s3cret 0ther", None),
        ("Bearer ä", None),
        (None, None),
    ],
)
def test_a_caller_is_known_by_a_bearer_token(header: str | None, user: str | None) -> None:
    assert Identity(TOKENS).user_of_header(header) == user


def test_without_tokens_everyone_is_the_local_user() -> None:
    assert Identity(None).user_of_header(None) == "local"


@pytest.mark.parametrize("user", ["ana", "아나", "a.b|c"])
def test_a_cookie_stands_for_its_user(user: str) -> None:
    identity = Identity(TOKENS)

    assert identity.user_of_cookie(identity.make_cookie(user)) == user


@pytest.mark.parametrize("cookie", [None, "", ".", "a.b", "a.b.c", "YW5h.99999999999.00", "\u00e4.1.\u00e4"])
def test_a_cookie_that_was_made_up_is_nobody(cookie: str | None) -> None:
    assert Identity(TOKENS).user_of_cookie(cookie) is None


def test_a_cookie_ends_with_the_tokens_it_was_made_under() -> None:
    assert Identity({"n3w": "ana"}).user_of_cookie(Identity(TOKENS).make_cookie("ana")) is None


def test_a_cookie_ends_after_twelve_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    identity = Identity(TOKENS)
    cookie = identity.make_cookie("ana")

    now = time.time()
    monkeypatch.setattr("generation_service.api.auth.time.time", lambda: now + auth.COOKIE_SECONDS + 2)

    assert identity.user_of_cookie(cookie) is None


async def test_a_ticket_is_used_once(database: Database) -> None:
    ticket, _ = await tickets.issue(database, "ana")

    assert await tickets.redeem(database, ticket) == "ana"
    assert await tickets.redeem(database, ticket) is None


async def test_a_ticket_ends_after_a_minute(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tickets, "TICKET_SECONDS", -1)
    ticket, _ = await tickets.issue(sqlite_database, "ana")

    assert await tickets.redeem(sqlite_database, ticket) is None


async def test_an_unknown_ticket_is_nobodys(sqlite_database: Database) -> None:
    assert await tickets.redeem(sqlite_database, "\ud800 made up") is None
