"""An embedding server on a loopback port: counts calls, answers out of order, and fails on demand.

A model's name ends with its dimension, as `hash-64`: its vectors count the pairs of letters of a text, so that
texts that share words are similar. The name before it makes one model's vectors unlike another's.
"""

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any, Self
from zlib import crc32


@dataclass(frozen=True)
class Fault:
    """How a call is answered instead; `body` None: not at all, until the server stops."""

    status: int = 503
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = b"{}"


class EmbeddingServerDouble:
    """The server, run by threads of the process that made it."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.unknown: set[str] = set()  # models that it does not serve
        self.at_once = 0
        self.most_at_once = 0
        self._faults: list[Fault] = []
        self._changed = threading.Condition()
        self._open = threading.Event()
        self._open.set()
        self._stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # a client that went away
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def fail(self, *faults: Fault) -> None:
        """Answer the next calls with these."""
        self._faults += faults

    def mend(self) -> None:
        """Answer as a server does from now on."""
        self._faults.clear()

    def hold(self) -> None:
        """Keep every call waiting, until `release`."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    async def calls_at_once(self, count: int) -> None:
        """Return once so many calls are waiting for their answer."""

        def wait() -> bool:
            with self._changed:
                return self._changed.wait_for(lambda: self.at_once == count, 20)

        assert await asyncio.to_thread(wait)

    def answer(self, call: Mapping[str, Any]) -> Fault:
        """What a call is answered with, as an HTTP status and a body."""
        with self._changed:
            self.calls.append(dict(call))
            self.at_once += 1
            self._changed.notify_all()
            self.most_at_once = max(self.most_at_once, self.at_once)
            fault = self._faults.pop(0) if self._faults else None
        try:
            self._open.wait(30)
            if fault is not None and fault.body is None:
                self._stopping.wait(30)
            if call["model"] in self.unknown:
                return Fault(404)
            return fault or Fault(200, body=_embeddings(call["model"], call["input"]))
        finally:
            with self._changed:
                self.at_once -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                key = self.headers.get("Authorization", "")
                found = double.answer({**question, "path": self.path, "authorization": key})
                body = found.body or b""
                self.send_response(found.status)
                for name, value in (*found.headers, ("Content-Length", str(len(body)))):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        return Handler


def vector(model: str, text: str) -> list[float]:
    """The vector of a text by a model of this server."""
    dimension = int(model.rsplit("-", 1)[1])
    counts = [0.0] * dimension
    for pair in pairwise(f" {text} "):
        counts[crc32(f"{model}{''.join(pair)}".encode("utf-8", "replace")) % dimension] += 1.0
    return counts


def _embeddings(model: str, texts: Sequence[str]) -> bytes:
    items = [
        {"object": "embedding", "index": place, "embedding": vector(model, text)} for place, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": sum(len(text) for text in texts), "total_tokens": 0}
    return json.dumps({"object": "list", "data": items[::-1], "model": model, "usage": usage}).encode()
