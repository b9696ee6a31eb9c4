"""A load on a service that is being restarted: requests at a steady rate, and readers of event streams."""

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

import httpx2

from tests.support.stack import Stack

_ENDINGS = frozenset({"completed", "failed", "cancelled"})
_DEADLINE_SECONDS = 300.0


class Load:
    """Requests at a steady rate: most read, some submit under a key, and then again under the same after a failure.

    `failures` counts what went wrong at the first try, by its kind; `unrepaired` is what a second try did not repair.
    """

    def __init__(self, stack: Stack, *, per_second: int, read: str, submit_every: int = 25) -> None:
        self.failures: Counter[str] = Counter()
        self.unrepaired: list[str] = []
        self.accepted: set[str] = set()
        self.asked = 0
        self._stack = stack
        self._pause = 1 / per_second
        self._read = read
        self._submit_every = submit_every
        self._client = httpx2.Client(base_url=stack.url, timeout=30, trust_env=False)
        self._callers = ThreadPoolExecutor(32)
        self._stop = threading.Event()
        self._pacer = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._pacer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pacer.join()
        self._callers.shutdown()
        self._client.close()

    def _run(self) -> None:
        began, calls = time.monotonic(), []
        for number in itertools.count():
            if self._stop.wait(max(0.0, began + number * self._pause - time.monotonic())):
                break
            self.asked += 1
            calls.append(self._callers.submit(self._one, number))
        for call in calls:
            call.result()

    def _one(self, number: int) -> None:
        try:
            self._ask(number, self._client)
        except (httpx2.TransportError, AssertionError) as error:
            self.failures[type(error).__name__] += 1
            self._ask_again(number)

    def _ask_again(self, number: int) -> None:
        """Over a connection of its own: the others that are kept may be the same process's, which has ended."""
        try:
            with httpx2.Client(base_url=self._stack.url, timeout=30, trust_env=False) as fresh:
                self._ask(number, fresh)
        except (httpx2.TransportError, AssertionError) as error:
            self.unrepaired.append(repr(error))

    def _ask(self, number: int, client: httpx2.Client) -> None:
        if number % self._submit_every:
            answer = client.get(f"/api/generation/{self._read}")
            assert answer.status_code == 200, answer.text
            return
        body = {"project_id": "load", "episode_data": {"title": f"{number}"}, "priority": "low"}
        answer = client.post("/api/generation", json=body, headers={"Idempotency-Key": f"load-{number}"})
        assert answer.status_code == 202, answer.text
        self.accepted.add(answer.json()["job_id"])


class Readers:
    """Readers of event streams, each of which comes back with its last id until the job has ended."""

    def __init__(self, stack: Stack, job_ids: Sequence[str], count: int) -> None:
        self.broken: Counter[str] = Counter()
        self.opened = 0
        self._stack = stack
        self._client = httpx2.Client(
            base_url=stack.url, timeout=60, trust_env=False, limits=httpx2.Limits(max_connections=None)
        )
        self._pool = ThreadPoolExecutor(count)
        self._reading: list[tuple[str, Future[list[int]]]] = [
            (job_id, self._pool.submit(self._follow, job_id))
            for job_id in itertools.islice(itertools.cycle(job_ids), count)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._client.close()

    def seen(self) -> list[tuple[str, list[int]]]:
        """The ids of the events that each reader has seen, once all have seen the end of their job."""
        return [(job_id, reading.result(_DEADLINE_SECONDS)) for job_id, reading in self._reading]

    def _follow(self, job_id: str) -> list[int]:
        seen: list[int] = []
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while time.monotonic() < deadline:
            try:
                if self._read_on(job_id, seen):
                    return seen
            except httpx2.TransportError as error:
                self.broken[type(error).__name__] += 1
        raise AssertionError(f"{job_id}: no ending after {seen[-1:]}")

    def _read_on(self, job_id: str, seen: list[int]) -> bool:
        """Read one stream to its end; whether the job's ending was in it."""
        after = {"Last-Event-ID": str(seen[-1])} if seen else {}
        ended = False
        with self._client.stream("GET", f"/api/generation/{job_id}/events", headers=after) as answer:
            self.opened += 1
            assert answer.status_code == 200, answer.status_code
            event: dict[str, Any] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(":")
                if not line and "id" in event:
                    assert json.loads(event["data"])["sequence"] == int(event["id"])
                    seen.append(int(event["id"]))
                    ended = ended or event["event"] in _ENDINGS
                event = {} if not line else {**event, name: value.strip()}
        return ended
