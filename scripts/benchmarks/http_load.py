"""A lean HTTP client that measures: a few connections that stay open, closed or open loop, in a process of its own.

    python -m scripts.benchmarks.http_load < plan.json > outcome.json

Lean, because on a small machine whatever the client takes is missing at the server: no library, one
request made once, answers read as far as their length says.
"""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self, cast

_HEAD_ENDS = b"\r\n\r\n"
_LENGTH = b"content-length:"
KEY = "@KEY@"
"""In a plan's headers: replaced by something new for each request."""

_STALLED_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to send where, for how long. `rate` is requests a second of an open loop; None: closed, one after another.

    The first `warm_seconds` are sent, too, and not counted.
    """

    host: str
    port: int
    path: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    connections: int = 32
    seconds: float = 5.0
    warm_seconds: float = 1.0
    rate: float | None = None
    seed: int = 1

    def but(self, **changes: Any) -> "Plan":
        """The same plan with some changes."""
        return replace(self, **changes)

    def run(self) -> "Outcome":
        """Send it from a process of its own. Raises CalledProcessError where that fails."""
        done = subprocess.run(
            [sys.executable, "-m", "scripts.benchmarks.http_load"],
            input=json.dumps(asdict(self)),
            capture_output=True,
            text=True,
            timeout=self.seconds + self.warm_seconds + 2 * _STALLED_SECONDS,
            check=True,
        )
        return Outcome(**json.loads(done.stdout))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was answered within the time: how many, with which status, and how long the answers took, sorted."""

    seconds: float
    statuses: dict[str, int]
    milliseconds: list[float]
    unanswered: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.milliseconds) / self.seconds

    def percentile(self, share: float) -> float:
        """The time that `share` (0 to 1) of the answers needed at most, in ms; what was never answered counts last."""
        at = min(int(share * (len(self.milliseconds) + self.unanswered)), len(self.milliseconds) + self.unanswered - 1)
        return self.milliseconds[at] if at < len(self.milliseconds) else float("inf")


class _Connection(asyncio.Protocol):
    """One connection: sends a request when it is told to, and says when its answer is whole."""

    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._received = b""
        self._needed = -1  # bytes of the whole answer; -1: its head is not whole yet
        self._due = 0.0
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, load: "_Load") -> Self:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(lambda: cls(load), load.plan.host, load.plan.port)
        return made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._load.lost(error)

    def send(self, due: float) -> None:
        """Send the request that was due at `due`."""
        self._due = due
        if self._transport is not None:
            self._transport.write(self._load.request())

    def data_received(self, received: bytes) -> None:
        self._received += received
        if self._needed < 0:
            end = self._received.find(_HEAD_ENDS)
            if end < 0:
                return
            self._needed = end + len(_HEAD_ENDS) + _length(self._received[:end])
        if len(self._received) >= self._needed:
            status = self._received[9:12].decode()
            self._received, self._needed = self._received[self._needed :], -1
            self._load.answered(self, self._due, status)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(_LENGTH)
    if not found:
        raise ValueError("the server names no length; this client reads no chunks")
    return int(rest.partition(b"\r\n")[0])


class _Load:
    """All connections of one plan, what waits to be sent, and what was answered."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._head, self._body = _request(plan)
        self._mark = f"{time.time_ns()}-{plan.seed}"
        self._count = 0
        self._statuses: Counter[str] = Counter()
        self._milliseconds: list[float] = []
        self._free: deque[_Connection] = deque()  # in turn: a server closes those that nobody uses
        self._waiting: deque[float] = deque()  # open loop: when each was due
        self._from = self._until = 0.0
        self._ended = False
        self._under_way = 0
        self._all_done = asyncio.Event()

    def request(self) -> bytes:
        """The bytes of the next request."""
        self._count += 1
        if KEY.encode() not in self._head:
            return self._head + self._body
        return self._head.replace(KEY.encode(), f"{self._mark}-{self._count}".encode()) + self._body

    def answered(self, connection: _Connection, due: float, status: str) -> None:
        """Note an answer, and let its connection send the next request."""
        now = time.perf_counter()
        # An open loop's requests count by when they were due: one that waits too long is not left out.
        counts_from = due if self.plan.rate is not None else now
        if self._from <= counts_from < self._until:
            self._statuses[status] += 1
            self._milliseconds.append((now - due) * 1000)
        self._under_way -= 1
        if self.plan.rate is None:
            if now < self._until:
                self._send(connection, now)
        elif self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._free.append(connection)
        self._end_where_all_is_done()

    def _end_where_all_is_done(self) -> None:
        if time.perf_counter() >= self._until and not self._under_way and not self._waiting:
            self._all_done.set()

    def lost(self, error: Exception | None) -> None:
        """A connection ended: the server's error or ours; a measurement with fewer connections would not be one."""
        if not self._ended:
            self._statuses["lost"] += 1
            sys.stderr.write(f"a connection was lost: {error}\n")

    async def run(self) -> Outcome:
        """Send it all; return once everything was answered, or nothing came for a long time."""
        connections = [await _Connection.open(self) for _ in range(self.plan.connections)]
        began = time.perf_counter()
        self._from = began + self.plan.warm_seconds
        self._until = self._from + self.plan.seconds
        if self.plan.rate is None:
            for connection in connections:
                self._send(connection, time.perf_counter())
        else:
            self._free.extend(connections)
            await self._send_on_time(began, self.plan.rate)
            self._end_where_all_is_done()  # the last answer may have come before the end
        try:
            await asyncio.wait_for(self._all_done.wait(), self.plan.warm_seconds + self.plan.seconds + _STALLED_SECONDS)
        except TimeoutError:
            sys.stderr.write("some requests were never answered\n")
        self._ended = True
        for connection in connections:
            connection.close()
        return Outcome(
            seconds=self.plan.seconds,
            statuses=dict(self._statuses),
            milliseconds=sorted(round(one, 3) for one in self._milliseconds),
            unanswered=self._under_way + len(self._waiting),
        )

    async def _send_on_time(self, began: float, rate: float) -> None:
        """Send at random times (a Poisson process), whatever has been answered by then."""
        chance = random.Random(self.plan.seed)  # noqa: S311 - the same arrivals in each run
        due = began
        while (due := due + chance.expovariate(rate)) < self._until:
            pause = due - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            if self._free:
                self._send(self._free.popleft(), due)
            else:
                self._waiting.append(due)
        await asyncio.sleep(max(0.0, self._until - time.perf_counter()))

    def _send(self, connection: _Connection, due: float) -> None:
        self._under_way += 1
        connection.send(due)


def _request(plan: Plan) -> tuple[bytes, bytes]:
    body = plan.body.encode()
    fields = {"Host": f"{plan.host}:{plan.port}", **plan.headers}
    if body:
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [f"{plan.method} {plan.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode(), body


def main(arguments: Sequence[str]) -> int:
    """Run the plan on standard input, write its outcome to standard output."""
    if arguments:
        sys.stderr.write("usage: python -m scripts.benchmarks.http_load < plan.json\n")
        return 2
    plan: dict[str, Any] = json.load(sys.stdin)
    outcome = asyncio.run(_Load(Plan(**plan)).run())
    json.dump(asdict(outcome), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
