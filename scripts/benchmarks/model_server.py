"""A model provider for benchmarks, a process of its own: answers after a time, in a stream, and costs little itself.

    python -m scripts.benchmarks.model_server PORT SECONDS

`POST /v1/chat/completions` is answered after SECONDS with a whole stream that suits the step (header X-Job-Step).
`POST /hold` keeps calls open from now on, `POST /release` answers them; `GET /open` says how many are open.
"""

import asyncio
import json
import sys
from collections.abc import Iterator

from scripts.embedded.ports import LOOPBACK

_PIECE = 12  # characters
_MODEL = "benchmark"
_ANSWERS = {
    "signal": json.dumps(
        {
            "signals": [
                {"kind": "character", "name": "하나", "text": "하나가 서점을 지킨다.", "sources": [1]},
                {"kind": "conflict", "text": "건물이 팔린다.", "people": ["하나"], "sources": [1]},
                {"kind": "beat", "stage": "setup", "text": "마지막 손님이 온다.", "people": ["하나"], "sources": [1]},
            ]
        },
        ensure_ascii=False,
    ),
    "validation": '{"drop": [], "notes": ["nothing to drop"]}',
    "insight": "".join(
        f"## S#{number}. 서점 / 낮\n\n하나가 {number}번째 문을 연다.\n\n**하나** {number}번째 대사입니다.\n\n"
        for number in range(1, 6)
    ),
}
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def answer(text: str) -> bytes:
    """A whole answer as it goes over the wire: each event a chunk of its own."""
    return _HEAD + b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in _events(text)) + b"0\r\n\r\n"


class Server:
    """What all connections share: the calls that are open, and whether they are held."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.holding = False
        self.open: set[Connection] = set()
        self.answers = {step: answer(text) for step, text in _ANSWERS.items()}

    def control(self, path: str) -> bytes:
        """Do what a control request asks for; its body."""
        if path == "/hold":
            self.holding = True
        elif path == "/release":
            self.holding = False
            for call in list(self.open):
                call.give_answer()
        return str(len(self.open)).encode()


class Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._received = b""
        self._step = ""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            self._transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._server.open.discard(self)

    def data_received(self, received: bytes) -> None:
        self._received += received
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        if len(body) < int(headers.get("content-length", "0")):
            return
        self._received = b""
        self._request(line.split(" ")[1], headers.get("x-job-step", ""))

    def give_answer(self) -> None:
        """Answer the open call, unless it is held or its caller is gone."""
        if self._server.holding or self not in self._server.open:
            return
        self._server.open.discard(self)
        self._write(self._server.answers.get(self._step, self._server.answers["insight"]))

    def _request(self, path: str, step: str) -> None:
        if not path.endswith("/chat/completions"):
            said = self._server.control(path)
            self._write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(said), said))
            return
        self._step = step
        self._server.open.add(self)
        asyncio.get_running_loop().call_later(self._server.seconds, self.give_answer)

    def _write(self, content: bytes) -> None:
        if self._transport:
            self._transport.write(content)


def _events(text: str) -> Iterator[bytes]:
    for start in range(0, len(text), _PIECE):
        yield _event([{"index": 0, "delta": {"content": text[start : start + _PIECE]}, "finish_reason": None}])
    yield _event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    tokens = len(text) // 4
    yield _event([], {"prompt_tokens": 100, "completion_tokens": tokens, "total_tokens": 100 + tokens})
    yield b"data: [DONE]\n\n"


def _event(choices: list[object], usage: object = None) -> bytes:
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": _MODEL, "choices": choices}
    return f"data: {json.dumps(chunk | {'usage': usage}, ensure_ascii=False)}\n\n".encode()


async def _serve(port: int, seconds: float) -> None:
    server = Server(seconds)
    listening = await asyncio.get_running_loop().create_server(lambda: Connection(server), LOOPBACK, port, backlog=1024)
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
