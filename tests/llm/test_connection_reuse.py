"""What a model's server sees of connections, and what else may come over one."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import pytest

from generation_service.errors import PermanentError, TransientError
from generation_service.llm import Material, Message, ModelCall, Reply
from generation_service.llm.server import ServerModel

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
_LAST = b"0\r\n\r\n"

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class RawServer:
    """A server that answers each request with the bytes it was told, and counts its connections."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []  # the head of each
        self.connections = 0
        self.closed = asyncio.Event()  # by a client
        self.answer: Answer = self.whole
        self.base_url = ""

    async def whole(self, writer: asyncio.StreamWriter) -> None:
        writer.write(_HEAD + b"\r\n" + events("밤", done=True) + _LAST)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await _request(reader):
                self.requests.append(head)
                await self.answer(writer)
        finally:
            self.closed.set()
            writer.close()


def events(*texts: str, done: bool = False) -> bytes:
    """A chunk of the body for each text, and one for the mark of the end."""
    told = [json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": None}]}) for text in texts]
    return b"".join(chunk(f"data: {one}\n\n".encode()) for one in [*told, *(["[DONE]"] if done else [])])


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


@pytest.fixture
async def raw() -> AsyncIterator[RawServer]:
    raw = RawServer()
    listening = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
    raw.base_url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    yield raw
    listening.close()
    await listening.wait_closed()


@pytest.fixture
async def model(raw: RawServer) -> AsyncIterator[ServerModel]:
    made = ServerModel(base_url=raw.base_url, model="mock", api_key="s3cret", read_timeout_seconds=600)
    yield made
    await made.aclose()


async def whole(model: ServerModel) -> Reply:
    call = ModelCall(
        job_id="job-1",
        step="insight",
        attempt=1,
        task="insight",
        language="ko",
        messages=[Message(role="user", content="자료")],
        material=Material(form="script", title="밤"),
        max_output_tokens=321,
    )
    async with model.open(call) as reply, aclosing(aiter(reply)) as pieces:
        async for _ in pieces:
            pass
    return reply


async def test_calls_after_each_other_share_a_connection(model: ServerModel, raw: RawServer) -> None:
    for _ in range(3):
        assert (await whole(model)).text == "밤"

    assert len(raw.requests) == 3
    assert raw.connections == 1


async def test_the_end_may_come_after_the_mark_of_the_end(model: ServerModel, raw: RawServer) -> None:
    async def in_two(writer: asyncio.StreamWriter) -> None:
        writer.write(_HEAD + b"\r\n" + events("밤", done=True))
        await writer.drain()
        await asyncio.sleep(0)  # a write of its own
        writer.write(_LAST)

    raw.answer = in_two
    for _ in range(3):
        await whole(model)

    assert raw.connections == 1


async def test_an_end_that_never_comes_holds_no_call(model: ServerModel, raw: RawServer) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(_HEAD + b"\r\n" + events("밤", done=True))

    raw.answer = endless

    assert (await whole(model)).text == "밤"
    await raw.closed.wait()


async def test_a_connection_that_breaks_after_the_mark_harms_nothing(model: ServerModel, raw: RawServer) -> None:
    async def cut(writer: asyncio.StreamWriter) -> None:
        writer.write(_HEAD + b"\r\n" + events("밤", done=True))
        writer.close()

    raw.answer = cut

    assert (await whole(model)).text == "밤"


async def test_a_call_after_a_refusal_uses_its_connection(model: ServerModel, raw: RawServer) -> None:
    async def refused(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}")

    raw.answer = refused
    for _ in range(2):
        with pytest.raises(PermanentError) as raised:
            await whole(model)
        assert raised.value.code == "provider_unauthorized"

    assert raw.connections == 1


@pytest.mark.parametrize("body", [b"<html>", b'"text"', b"[" * 100_000, b"\xff\xfe", b""])
async def test_a_refusal_may_say_anything(model: ServerModel, raw: RawServer, body: bytes) -> None:
    async def refused(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    raw.answer = refused

    with pytest.raises(TransientError) as raised:
        await whole(model)

    assert raised.value.code == "provider_unavailable"


async def test_what_cannot_be_unpacked_is_a_broken_stream(model: ServerModel, raw: RawServer) -> None:
    async def garbled(writer: asyncio.StreamWriter) -> None:
        writer.write(_HEAD + b"content-encoding: gzip\r\n\r\n" + chunk(b"not gzip") + _LAST)

    raw.answer = garbled

    with pytest.raises(TransientError) as raised:
        await whole(model)

    assert raised.value.code == "provider_broken_stream"


async def test_a_packed_answer_is_read(model: ServerModel, raw: RawServer) -> None:
    told = json.dumps({"choices": [{"delta": {"content": "밤"}, "finish_reason": "stop"}]})

    async def packed(writer: asyncio.StreamWriter) -> None:
        body = gzip.compress(f"data: {told}\n\n".encode())
        writer.write(_HEAD + b"content-encoding: gzip\r\n\r\n" + chunk(body) + _LAST)

    raw.answer = packed

    assert (await whole(model)).text == "밤"


async def test_a_server_that_has_moved_is_followed(model: ServerModel, raw: RawServer) -> None:
    async def moved(writer: asyncio.StreamWriter) -> None:
        raw.answer = raw.whole
        writer.write(b"HTTP/1.1 307 Moved\r\nlocation: /v2/chat/completions\r\ncontent-length: 0\r\n\r\n")

    raw.answer = moved

    assert (await whole(model)).text == "밤"
    assert [request.split()[1] for request in raw.requests] == [b"/v1/chat/completions", b"/v2/chat/completions"]
    assert b"authorization: bearer s3cret" in raw.requests[1].lower()


async def test_moving_without_end_is_a_broken_stream(model: ServerModel, raw: RawServer) -> None:
    async def moved(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 307 Moved\r\nlocation: /v1/chat/completions\r\ncontent-length: 0\r\n\r\n")

    raw.answer = moved

    with pytest.raises(TransientError) as raised:
        await whole(model)

    assert raised.value.code == "provider_broken_stream"


async def _request(reader: asyncio.StreamReader) -> bytes:
    """The head of the next request, its body read too; empty where the client has gone."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
    await reader.readexactly(int(fields[b"content-length"]))
    return head
