"""A whole service in real processes, for one test: API, workers, on a given database and Redis."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from scripts.embedded.children import Child, Program, tail
from scripts.embedded.ports import free_port
from tests.support.warm import WarmChild, warm_up

DEADLINE_SECONDS = 60.0
# Between one question and the next: what takes long is asked for less often, for its answers cost processor time, too.
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.01, 0.1
_ENTRY = str(Path(sys.executable).with_name("generation-service"))


@dataclass
class Stack:
    """Starts, kills and asks the processes of one service; `settings` are environment variables.

    `cold`: each is a fresh interpreter with a command line of its own, instead of a copy of one that is warm.
    """

    folder: Path
    settings: dict[str, str]
    cold: bool = False
    children: dict[str, Child] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx2.Client(base_url=self.url, timeout=30, trust_env=False)
        self._beside: list[httpx2.Client] = []

    def environment(self) -> dict[str, str]:
        home = {"HOME": str(self.folder), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        return {**home, "PORT": str(self.port), "LOG_LEVEL": "info", "LOG_FORMAT": "text", **self.settings}

    def start(self, name: str, *command: str) -> Child:
        """Start `generation-service COMMAND...` as the process `name`."""
        program = Program(
            command=[_ENTRY, *command],
            environment=self.environment(),
            folder=self.folder,
            log=self.folder / f"{name}.log",
            on_orphaned=signal.SIGKILL,
        )
        self.children[name] = Child(program) if self.cold else WarmChild(program)
        return self.children[name]

    def serve(self, *options: str, name: str = "api") -> Child:
        child = self.start(name, "serve", *options)
        self.until(lambda: self._ready(child, self.http), f"{name} is ready")
        return child

    def serve_beside(self, name: str) -> httpx2.Client:
        """Start an API process on a port of its own; the client that asks it."""
        http = httpx2.Client(base_url=f"http://127.0.0.1:{free_port()}", timeout=30, trust_env=False)
        self._beside.append(http)
        child = self.start(name, "serve", "--port", str(http.base_url.port))
        self.until(lambda: self._ready(child, http), f"{name} is ready")
        return http

    def worker(self, name: str = "worker", *options: str) -> Child:
        return self.start(name, "worker", *options)

    def kill_all(self) -> None:
        for child in self.children.values():
            child.kill()

    def close(self) -> None:
        for http in (self.http, *self._beside):
            http.close()
        for child in self.children.values():
            child.send(signal.SIGCONT)
            child.kill()

    # What a test says

    def submit(
        self,
        title: str = "하나",
        *,
        project: str = "p1",
        key: str | None = None,
        via: httpx2.Client | None = None,
        **body: Any,
    ) -> dict[str, Any]:
        """Submit a job, through the process that `via` asks where that is another one; the job resource."""
        headers = {"Idempotency-Key": key} if key else {}
        wanted = {"project_id": project, "episode_data": {"title": title}, **body}
        answer = (via or self.http).post("/api/generation", json=wanted, headers=headers)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/api/generation/{job_id}").raise_for_status().json())

    def wait_for(self, job_id: str, *statuses: str, seconds: float = DEADLINE_SECONDS) -> dict[str, Any]:
        """Wait until the job is in one of `statuses` (of none given: until it has ended)."""
        wanted = statuses or ("completed", "failed", "cancelled")
        found: dict[str, Any] = {}

        def there() -> bool:
            found.update(self.job(job_id))
            return found["status"] in wanted

        self.until(there, f"job is {'/'.join(wanted)}", seconds)
        return found

    def events(self, job_id: str, after: int = 0) -> list[dict[str, Any]]:
        """The whole event stream of a job that ends, each event as `{"id", "event", "data"}`."""
        return list(self.follow(job_id, after))

    def follow(self, job_id: str, after: int = 0) -> Iterator[dict[str, Any]]:
        headers = {"Last-Event-ID": str(after)} if after else {}
        with self.http.stream("GET", f"/api/generation/{job_id}/events", headers=headers, timeout=60) as answer:
            event: dict[str, Any] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(":")
                if not line and "id" in event:
                    yield {"id": int(event["id"]), "event": event["event"], "data": json.loads(event["data"])}
                event = {} if not line else {**event, name: value.strip()}

    def until(self, condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
        """Wait until `condition` holds. Raises AssertionError with the logs' last lines."""
        deadline = time.monotonic() + seconds
        pause = _FIRST_PAUSE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {seconds} s\n{self.logs()}")
            time.sleep(pause)
            pause = min(1.3 * pause, _LONGEST_PAUSE_SECONDS)

    def logs(self) -> str:
        return "\n".join(f"--- {name}\n{tail(self.folder / f'{name}.log', 40)}" for name in self.children)

    def has_logged(self, name: str, text: str) -> bool:
        """Whether the process `name` has written a log line that contains `text`."""
        return text in (self.folder / f"{name}.log").read_text(encoding="utf-8")

    def _ready(self, child: Child, http: httpx2.Client) -> bool:
        assert child.alive, f"it ended with {child.exit_code}\n{self.logs()}"
        try:
            return http.get("/readyz").status_code == 200
        except httpx2.TransportError:
            return False


@contextmanager
def stack(folder: Path, database_url: str, *, cold: bool = False, **settings: str) -> Iterator[Stack]:
    """A stack that has started nothing yet; everything it started is killed at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    fast = {
        "DATABASE_URL": database_url,
        "STORAGE_URL": str(folder / "objects"),
        "RETRY_BASE_SECONDS": "0.1",
        "RECOVERY_INTERVAL_SECONDS": "0.2",
        "REDELIVERY_SECONDS": "1",
        "JOB_LEASE_SECONDS": "3",
        "SHUTDOWN_GRACE_SECONDS": "1",
        "ROLLBACK_ON_MEMORY_PERCENT": "0",  # a test machine may well be full
    }
    started = Stack(folder, fast | settings, cold=cold)
    warm_up()
    try:
        yield started
    finally:
        started.close()


def is_gapless(events: list[Mapping[str, Any]]) -> bool:
    """Whether the ids are 1, 2, 3 ... and the data repeat them."""
    numbers = list(range(1, len(events) + 1))
    return [event["id"] for event in events] == numbers == [event["data"]["sequence"] for event in events]
