"""Reads many event streams at once, in a process of its own, and says what came when.

    python -m scripts.benchmarks.streams_reader < plan.json

Says `open` once every stream has its job's first event, and at the end the outcome as JSON. Sockets
and a few regular expressions, no client library: what the reader takes is missing at the server.
"""

import asyncio
import contextlib
import json
import re
import sys
import time
from dataclasses import asdict, dataclass
from typing import cast
from urllib.parse import urlsplit

from scripts.benchmarks.streams_plan import MARK, Plan

_OPENING = 50  # connections that are being opened at once
_SILENCE_SECONDS = 15.0  # nothing came for so long: what is missing now is missed
_EVENT = re.compile(rb"id: (\d+)\r\n.*?\r\n\r\n", re.DOTALL)
_TICK = re.compile(rb'"' + MARK.encode() + rb'":(\d+)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the readers got: `missed` counts events that never came and numbers out of order.

    The times are from the end of the COMMIT to the reader, in milliseconds, sorted.
    """

    opened: int
    open_seconds: float
    ended_early: int
    received: int
    missed: int
    milliseconds: list[float]

    def percentile(self, share: float) -> float:
        """The time within which `share` (0 to 1) of the events came, in ms."""
        if not self.milliseconds:
            return float("inf")
        return self.milliseconds[min(int(share * len(self.milliseconds)), len(self.milliseconds) - 1)]


class _Reader(asyncio.Protocol):
    """One stream: notes the number and the time of each event."""

    def __init__(self, readers: "_Readers", job_id: str) -> None:
        self._readers = readers
        self._job_id = job_id
        self._rest = b""
        self.sequence = 0
        self.opened = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        head = f"GET /api/generation/{self._job_id}/events HTTP/1.1\r\nHost: benchmark\r\n\r\n"
        self._transport.write(head.encode())

    def close(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, received: bytes) -> None:
        now = time.monotonic()
        whole, end, rest = (self._rest + received).rpartition(b"\r\n\r\n")
        self._rest = rest
        for found in _EVENT.finditer(whole + end):
            number, tick = int(found[1]), _TICK.search(found[0])
            self._readers.out_of_order += number != self.sequence + 1
            self.sequence = number
            if tick:
                self._readers.samples.append((int(tick[1]), now))
            if number == self._readers.plan.last:
                self._readers.one_is_done()
        if self.sequence and not self.opened.done():
            self.opened.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._readers.ended_early += 1
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionError(f"refused: {self._rest[:200]!r}"))


class _Readers:
    """All streams of one plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.samples: list[tuple[int, float]] = []
        self.out_of_order = 0
        self.ended_early = 0
        self._left = plan.readers
        self._done = asyncio.Event()

    def one_is_done(self) -> None:
        """Take note of a stream that has its last event."""
        self._left -= 1
        if not self._left:
            self._done.set()

    async def run(self) -> Outcome:
        """Open the streams, say so, read until all have their last event or nothing comes any more."""
        began = time.monotonic()
        readers = await self._open()
        opened_after = time.monotonic() - began
        _say("open")
        await self._until_silent()
        ended_early, self.ended_early = self.ended_early, 0
        for reader in readers:
            reader.close()
        committed = json.loads(self.plan.commits.read_text(encoding="utf-8"))
        times = sorted(round(max(0.0, at - committed[tick]) * 1000, 3) for tick, at in self.samples)
        return Outcome(
            opened=len(readers),
            open_seconds=round(opened_after, 3),
            ended_early=ended_early,
            received=len(times),
            missed=sum(self.plan.last - reader.sequence for reader in readers) + self.out_of_order,
            milliseconds=times,
        )

    async def _open(self) -> list[_Reader]:
        place, turns, loop = urlsplit(self.plan.url), asyncio.Semaphore(_OPENING), asyncio.get_running_loop()

        async def one(number: int) -> _Reader:
            job_id = self.plan.jobs[number % len(self.plan.jobs)]
            async with turns:
                _, reader = await loop.create_connection(
                    lambda: _Reader(self, job_id), str(place.hostname), place.port or 80
                )
                await reader.opened
            return reader

        return await asyncio.gather(*(one(number) for number in range(self.plan.readers)))

    async def _until_silent(self) -> None:
        """Wait for the last event of all, or until nothing has come for a while since the writer ended."""
        seen = -1
        while seen != len(self.samples) or not self.plan.commits.exists():
            seen = len(self.samples)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._done.wait(), _SILENCE_SECONDS)
            if self._done.is_set() and self.plan.commits.exists():
                return
            await asyncio.sleep(0.1)


def main() -> int:
    """Run the plan on standard input; the last line is the outcome."""
    outcome = asyncio.run(_Readers(Plan.read()).run())
    _say(json.dumps(asdict(outcome)))
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
