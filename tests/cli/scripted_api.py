"""A loopback HTTP server that answers as a test has scripted it, and remembers what it was asked."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass
class Asked:
    """One request: its method, its path with query, its headers (lower case), its body."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Answer:
    """What is sent back. `cut` closes the connection in the middle of the body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    refuse: bool = False  # close the connection without any answer


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    kind = "application/problem+json" if status >= 400 else "application/json"
    return Answer(status, json.dumps(value).encode(), {"Content-Type": kind, **headers})


def as_stream(*frames: str, cut: bool = False) -> Answer:
    return Answer(200, "".join(frames).encode(), {"Content-Type": "text/event-stream; charset=utf-8"}, cut=cut)


def frame(sequence: int, type_: str, **data: Any) -> str:
    return f"id: {sequence}\nevent: {type_}\ndata: {json.dumps({'sequence': sequence, **data})}\n\n"


RETRY_AT_ONCE = "retry: 1\n\n"
NOTHING_MORE = Answer(204)

Reply = Callable[[Asked], Answer]


class ScriptedApi:
    """Answers `METHOD /path` (without its query) with what `on` was given: one answer a request, the last for good."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._scripts: dict[str, list[Answer | Reply]] = {}
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                scripted._answer(self)

            do_POST = do_DELETE = do_GET  # noqa: N815 - the names that http.server calls

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def on(self, route: str, *answers: Answer | Reply) -> None:
        self._scripts[route] = list(answers)

    def asked_for(self, path: str) -> Sequence[Asked]:
        return [one for one in self.asked if one.path.partition("?")[0] == path]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = _body(handler)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, handler.path, headers, body)
        self.asked.append(asked)
        script = self._scripts.get(f"{asked.method} {asked.path.partition('?')[0]}", [Answer(404)])
        chosen = script.pop(0) if len(script) > 1 else script[0]
        _send(handler, chosen(asked) if callable(chosen) else chosen)


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("Transfer-Encoding") != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    body = b""
    while size := int(handler.rfile.readline(), 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return body


def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    handler.close_connection = True
    if answer.refuse:
        return
    handler.send_response(answer.status)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    promised = len(answer.body) + (100 if answer.cut else 0)
    if answer.status != 204:
        handler.send_header("Content-Length", str(promised))
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(answer.body)
