"""External search, against a server on a loopback port."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from generation_service.errors import PermanentError, ServiceError, TransientError
from generation_service.search import NoSearch, SearchByModel, cleaned, open_search
from generation_service.search.searxng import SearxngSearch
from tests.conftest import SettingsFor


class Server(ThreadingHTTPServer):
    """Answers every request with what a test has put into `said`: status, body, headers."""

    said: tuple[int, bytes, dict[str, str]] = (200, b'{"results": []}', {})
    asked: dict[str, list[str]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked = parse_qs(urlsplit(self.path).query) | {"path": [urlsplit(self.path).path]}
        status, body, headers = self.server.said
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


async def searched(server: Server, limit: int = 5) -> Any:
    search = SearxngSearch(server.url + "/", timeout_seconds=5)
    try:
        return await search.search("밤의 서점", limit, "ko")
    finally:
        await search.aclose()


async def test_hits_are_asked_for_as_json_and_come_without_markup(server: Server) -> None:
    results = [
        {
            "url": "https://example.org/1",
            "title": "<b>서점</b>",
            "content": "불이 &amp; 켜졌다<br>어제",
            "publishedDate": "2026-01-02",
        },
        {"url": "javascript:alert(1)", "title": "no"},
        {"url": "https://example.org/2", "title": "둘", "content": "둘째"},
        "no object",
        {"url": "https://example.org/3", "title": "셋", "content": "셋째"},
    ]
    server.said = (200, json.dumps({"results": results}).encode(), {})

    first, second = await searched(server, limit=2)

    assert server.asked == {"path": ["/search"], "q": ["밤의 서점"], "format": ["json"], "language": ["ko"]}
    assert (first.title, first.snippet, first.published) == ("서점", "불이 & 켜졌다 어제", "2026-01-02")
    assert second.url == "https://example.org/2"


@pytest.mark.parametrize(
    ("said", "error", "code"),
    [
        ((503, b"", {}), TransientError, "search_unavailable"),
        ((429, b"", {}), TransientError, "search_unavailable"),
        ((403, b"", {}), PermanentError, "search_refused"),
        ((302, b"", {"location": "/elsewhere"}), PermanentError, "search_refused"),
        ((200, b"<html>", {}), TransientError, "search_unreadable"),
        ((200, b'{"a": "' + b"x" * 3_000_000 + b'"}', {}), TransientError, "search_too_large"),
    ],
    ids=["503", "429", "403", "redirect", "html", "huge"],
)
async def test_each_failure_has_its_code(
    server: Server, said: tuple[int, bytes, dict[str, str]], error: type[ServiceError], code: str
) -> None:
    server.said = said

    with pytest.raises(error) as raised:
        await searched(server)

    assert raised.value.code == code


async def test_a_server_that_is_not_there_is_transient() -> None:
    search = SearxngSearch("http://127.0.0.1:9", timeout_seconds=5)

    with pytest.raises(TransientError) as raised:
        await search.search("a", 1, "en")

    assert raised.value.code == "search_unreachable"
    await search.aclose()


async def test_an_answer_of_another_shape_is_no_hit(server: Server) -> None:
    for body in (b"[]", b"{}", b'{"results": null}', b'{"results": [1, null]}'):
        server.said = (200, body, {})
        assert list(await searched(server)) == []


def test_what_is_let_in_is_bounded() -> None:
    hit = cleaned({"url": "https://example.org", "title": "t" * 10_000, "snippet": "가" * 10_000, "published": 7})

    assert hit is not None
    assert (len(hit.title), len(hit.snippet), hit.published) == (300, 1500, None)
    assert cleaned({"url": "https://example.org/" + "a" * 3000}) is None
    assert cleaned({"title": "no address"}) is None
    assert cleaned({"url": "http://[broken"}) is None


async def test_the_settings_choose_the_provider(settings_for: SettingsFor) -> None:
    chosen = [
        open_search(settings_for()),
        open_search(settings_for(search_provider="model")),
        open_search(settings_for(search_provider="searxng", search_base_url="http://127.0.0.1:9")),
    ]

    assert [type(one) for one in chosen] == [NoSearch, SearchByModel, SearxngSearch]
    assert [one.name for one in chosen] == ["none", "model", "searxng"]
    for one in chosen:
        await one.aclose()
