"""The jobs of `waiting`, as a program of its own that imports nothing but the library that is measured.

    python -m scripts.benchmarks.peers.waiting_jobs LIBRARY REDIS_URL COUNT SECONDS CALLS

Enqueues COUNT jobs, each of which waits SECONDS, CALLS times over; works on as many slots; prints the seconds from the
first start to the last end and the most memory it had resident, as JSON.
"""

import asyncio
import json
import sys
import threading
import time
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

_KIB = 1024
_MOST_SECONDS = 120.0
_CONNECTIONS = 2  # for each slot of saq: redis-py's own 100 are too few


@dataclass
class Work:
    """What is to be done, when the first job began and when the last one ended."""

    count: int
    seconds: float
    calls: int
    began: float = 0.0
    ended: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)
    _ends: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        with self._lock:
            self.began = self.began or time.monotonic()

    def end(self) -> bool:
        """Note an end; whether it was the last."""
        with self._lock:
            self._ends += 1
            self.ended = time.monotonic()
        if self._ends == self.count:
            self.done.set()
        return self.done.is_set()


def main(arguments: list[str]) -> int:
    """Measure one library and print what it came to."""
    library, url = arguments[:2]
    work = Work(int(arguments[2]), float(arguments[3]), int(arguments[4]))
    if library == "saq":
        asyncio.run(_saq(url, work))
    else:
        _dramatiq(url, work)
    sys.stdout.write(json.dumps({"seconds": work.ended - work.began, "rss_mb": _most_resident_mb()}) + "\n")
    return 0


def _most_resident_mb() -> float:
    # Not ru_maxrss: that begins with what the parent had before it became this program.
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * _KIB / 1e6 for line in lines if line.startswith("VmHWM"))


def _dramatiq(url: str, work: Work) -> None:
    library: Any = import_module("dramatiq")
    library.set_broker(import_module("dramatiq.brokers.redis").RedisBroker(url=url))

    def wait() -> None:
        work.start()
        for _ in range(work.calls):
            time.sleep(work.seconds)
        work.end()

    actor = library.actor(wait)
    for _ in range(work.count):
        actor.send()
    worker = library.Worker(library.get_broker(), worker_threads=work.count)
    worker.start()
    work.done.wait(_MOST_SECONDS)
    worker.stop()


async def _saq(url: str, work: Work) -> None:
    library: Any = import_module("saq")
    connections = import_module("redis.asyncio").Redis.from_url(url, max_connections=_CONNECTIONS * work.count)
    queue = import_module("saq.queue.redis").RedisQueue(connections)
    last = asyncio.Event()

    async def wait(_context: Any) -> None:
        work.start()
        for _ in range(work.calls):
            await asyncio.sleep(work.seconds)
        if work.end():
            last.set()

    await queue.connect()
    for _ in range(work.count):
        await queue.enqueue("wait")
    worker = library.Worker(queue, functions=[("wait", wait)], concurrency=work.count)
    working = asyncio.ensure_future(worker.start())
    await asyncio.wait_for(last.wait(), _MOST_SECONDS)
    await worker.stop()
    await working
    await queue.disconnect()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
