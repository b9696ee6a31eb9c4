"""What has failed for good is told to whoever asked, in the log and in the metrics; a killed process loses no alert."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from generation_service.database import Database, db_now
from generation_service.database.tables import alerts
from tests.support.provider import Provider
from tests.support.stack import Stack, stack


@dataclass
class Hook:
    """Takes what is posted; while it is closed, it holds whoever posts."""

    posted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook.arrived.set()
            if hook.opened.wait(60):
                hook.posted.append((self.headers["Idempotency-Key"], posted))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield hook
    hook.opened.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def service(database_url: str, tmp_path: Path, hook: Hook) -> Iterator[Stack]:
    """A service whose model refuses every call for good."""
    with Provider() as provider:
        settings = {
            "LLM_PROVIDER": "openai",
            "LLM_BASE_URL": provider.base_url,
            "LLM_MODEL": "unauthorized",
            "LLM_API_KEY": "x",
            "ALERT_WEBHOOK_URL": hook.url,
        }
        with stack(tmp_path, database_url, **settings) as running:
            yield running


def due_now(url: str) -> None:
    database = Database(url)
    database.write_now(lambda connection: connection.execute(update(alerts).values(due_at=db_now())))
    database.close()


def shown(service: Stack, series: str) -> float:
    lines = service.http.get("/metrics").text.splitlines()
    return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(series)))


def test_a_failed_job_is_told_even_if_the_teller_is_killed(service: Stack, hook: Hook) -> None:
    api = service.serve()
    before = shown(service, 'generation_alerts_total{type="job_failed"}')
    job = service.wait_for(service.submit()["job_id"], "failed")
    assert hook.arrived.wait(60)
    api.kill()
    hook.opened.set()
    due_now(service.settings["DATABASE_URL"])
    service.serve(name="again")
    service.until(lambda: len(hook.posted) == 2, "the webhook is told")  # the dead one's post had arrived, too

    (key, posted), (again, _) = hook.posted
    assert key == again
    assert (posted["type"], posted["subject"], posted["id"]) == ("job_failed", job["job_id"], key)
    assert posted["detail"]["code"] == job["error"]["code"]
    assert (before, shown(service, 'generation_alerts_total{type="job_failed"}')) == (0, 1)
    assert (service.folder / "api.log").read_text(encoding="utf-8").count("action=alert ") == 1
