"""An S3 server of a test's own, behind a door that refuses, cuts or hangs what the test says.

In a test:                          with s3_server() as s3: fault = s3.refuse(r"/preprocessed-", method="GET", keys=5)
Towards it, from any process:       the variables of `s3.environment()`
What it was: `fault.keys`; waiting for it: `fault.wait(5)`; its end: `fault.lift()`, or `s3.allow()` for all.
"""

import asyncio
import contextlib
import html
import itertools
import logging
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

import httpx2

Way = Literal["slow_down", "refused", "cut", "hang", "pass"]
"""503, 403, the connection ends, nothing comes, or nothing happens but that it is counted."""

_PATIENCE_SECONDS = 60.0  # the server loads most of itself with its first request
_BUCKETS = itertools.count(1)
_PREFIX = "생성 서비스"  # a prefix that has to be quoted in a URL
_PIECE_BYTES = 64 * 1024
_HEAD_BYTES = 64 * 1024
_DEADLINE_SECONDS = 60.0
_STATUS: dict[Way, tuple[int, str]] = {"slow_down": (503, "SlowDown"), "refused": (403, "AccessDenied")}


@dataclass(kw_only=True)
class Fault:
    """What happens to requests of one kind until it is lifted.

    A kind is a pattern (`re.search` in the unquoted path, with the query if there is one) and a method. With `keys`,
    only the first so many distinct paths are met by it; with `times`, each of them only so often.
    """

    pattern: str
    method: str | None = None
    way: Way = "slow_down"
    keys_at_most: int | None = None
    times: int | None = None
    met: Counter[str] = field(default_factory=Counter)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _lifted: bool = False

    @property
    def keys(self) -> list[str]:
        """The distinct paths that it has met, in their order."""
        with self._changed:
            return list(self.met)

    @property
    def lifted(self) -> bool:
        return self._lifted

    def meets(self, method: str, target: str) -> bool:
        """Whether this request fails; counts it."""
        path, _, query = target.partition("?")
        key = unquote(path)
        with self._changed:
            if self._lifted or self.method not in {None, method}:
                return False
            if not re.search(self.pattern, f"{key}?{query}" if query else key):
                return False
            if key not in self.met and self.keys_at_most is not None and len(self.met) >= self.keys_at_most:
                return False
            if self.times is not None and self.met[key] >= self.times:
                return False
            self.met[key] += 1
            self._changed.notify_all()
            return True

    def wait(self, keys: int = 1) -> None:
        """Wait until it has met so many distinct paths."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.met) >= keys, _DEADLINE_SECONDS):
                raise AssertionError(f"only {len(self.met)} of {keys} paths were asked for: {list(self.met)}")

    def lift(self) -> None:
        """Let everything pass from now on; who hangs is cut off."""
        with self._changed:
            self._lifted = True
            self._changed.notify_all()


class Door:
    """A relay in front of a server, on a loop of its own; one request a connection, streamed both ways."""

    def __init__(self, host: str, port: int) -> None:
        self._behind = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="s3-door")
        self._visits: set[asyncio.Task[Any]] = set()
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []  # method, path with query

    def start(self) -> int:
        """Open on a free port; which."""
        self._thread.start()
        opening = asyncio.start_server(self._visit, "127.0.0.1", 0, limit=_HEAD_BYTES)
        self._server = asyncio.run_coroutine_threadsafe(opening, self._loop).result(_DEADLINE_SECONDS)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(_DEADLINE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        for visit in self._visits:
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the loop's next turn

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._visits.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._visits.discard(task)
            await _closed(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, _, rest = head.partition(b"\r\n")
        method, target, _ = line.decode().split(" ")
        self.requests.append((method, target))
        fault = next((one for one in self.faults if one.meets(method, target)), None)
        if fault is None or fault.way == "pass":
            await self._relay(line + b"\r\nConnection: close\r\n" + rest, reader, writer)
        else:
            await _fail(fault, _length(rest), reader, writer)

    async def _relay(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, towards = await asyncio.open_connection(*self._behind)
        try:
            towards.write(head)
            sending = asyncio.create_task(_copy(reader, towards, _length(head)))
            await _copy(answers, writer, None)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        finally:
            await _closed(towards)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError, asyncio.CancelledError):
        await writer.wait_closed()


async def _fail(fault: Fault, length: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if fault.way == "cut":
        return
    if fault.way == "hang":
        while not fault.lifted:  # noqa: ASYNC110 - lifted by another thread
            await asyncio.sleep(0.02)
        return
    await _copy(reader, None, length)  # who is still sending reads no answer
    status, code = _STATUS[fault.way]
    body = f"<Error><Code>{code}</Code><Message>as the test said</Message></Error>".encode()
    head = f"HTTP/1.1 {status} {code}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None, length: int | None) -> None:
    """Pass on so many bytes, or all there are."""
    while length is None or length > 0:
        piece = await reader.read(_PIECE_BYTES if length is None else min(length, _PIECE_BYTES))
        if not piece:
            return
        length = None if length is None else length - len(piece)
        if writer is not None:
            writer.write(piece)
            await writer.drain()


def _length(head: bytes) -> int:
    found = re.search(rb"(?im)^content-length: *([0-9]+)", head)
    return int(found[1]) if found else 0


class S3:
    """A bucket on a server of this process, and the door in front of it."""

    def __init__(self, door: Door, endpoint_url: str) -> None:
        self._door = door
        self.endpoint_url = endpoint_url
        self.bucket = f"bucket-{next(_BUCKETS)}"
        self.prefix = _PREFIX
        self.url = f"s3://{self.bucket}/{self.prefix}"
        httpx2.put(f"{endpoint_url}/{self.bucket}", trust_env=False, timeout=_PATIENCE_SECONDS).raise_for_status()

    def another(self) -> "S3":
        """Another, empty bucket behind the same door."""
        return S3(self._door, self.endpoint_url)

    def environment(self) -> dict[str, str]:
        """What a process needs so that its objects are here."""
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
        return {"STORAGE_URL": self.url, "S3_ENDPOINT_URL": self.endpoint_url, **keys}

    def refuse(
        self,
        pattern: str = "",
        *,
        method: str | None = None,
        way: Way = "slow_down",
        keys: int | None = None,
        times: int | None = None,
    ) -> Fault:
        """Let requests fail from now on; see `Fault`. The service's client tries each request four times."""
        fault = Fault(pattern=pattern, method=method, way=way, keys_at_most=keys, times=times)
        self._door.faults.append(fault)
        return fault

    def allow(self) -> None:
        """Lift every fault."""
        while self._door.faults:
            self._door.faults.pop().lift()

    def requests(self, method: str | None = None) -> list[tuple[str, str]]:
        """Method and unquoted path, with the query, of every request so far."""
        return [(verb, unquote(target)) for verb, target in self._door.requests if method in {None, verb}]

    def keys(self) -> list[str]:
        """The keys of all objects in the bucket, below the prefix."""
        found = _asked(f"{self.endpoint_url}/{self.bucket}?list-type=2&max-keys=1000000")
        return sorted(key.removeprefix(f"{self.prefix}/") for key in found)

    def open_uploads(self) -> list[str]:
        """The keys of uploads in several parts that were begun, and neither completed nor aborted."""
        return _asked(f"{self.endpoint_url}/{self.bucket}?uploads")


def _asked(url: str) -> list[str]:
    answer = httpx2.get(url, trust_env=False, timeout=_PATIENCE_SECONDS).raise_for_status()
    return [html.unescape(key) for key in re.findall(r"<Key>(.*?)</Key>", answer.text)]


@contextmanager
def s3_server() -> Iterator[S3]:
    """A server with an empty bucket, for as long as the context."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - a second's work, for those that need it

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        door = Door(host, port)
        endpoint_url = f"http://127.0.0.1:{door.start()}"
        try:
            s3 = S3(door, endpoint_url)
            yield s3
            s3.allow()
        finally:
            door.stop()
    finally:
        server.stop()
