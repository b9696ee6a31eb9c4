"""Whoever asked to be told of an automatic rollback is told; whoever does not listen holds nothing up."""

import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from generation_service.database import Database
from generation_service.switching.notify import Notifier
from generation_service.switching.switches import Switch
from tests.support.settings import SettingsFor
from tests.support.switchovers import ROLLBACK, switching


@dataclass
class Hook:
    """Takes what is posted; answers as told, then 204."""

    answers: list[int] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(hook.answers.pop(0) if hook.answers else 204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield hook
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
async def switch(sqlite_database: Database, redis_url: str) -> AsyncIterator[Switch]:
    async with switching(sqlite_database, redis_url) as service:
        yield await service.switchover.rollback(replace(ROLLBACK, source="trigger"))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation_service.switching.notify._PAUSE_SECONDS", 0.0)


async def test_the_webhook_gets_the_report_and_is_tried_again(
    switch: Switch, hook: Hook, settings_for: SettingsFor
) -> None:
    hook.answers = [500]

    await Notifier(settings_for(rollback_webhook_url=hook.url)).tell(switch)

    assert [told["id"] for told in hook.told] == [switch.id] * 2
    assert hook.told[0]["rollback_report"]["root_cause"] == "a test"


async def test_a_webhook_that_never_takes_it_is_given_up_without_naming_it(
    switch: Switch, hook: Hook, settings_for: SettingsFor, caplog: pytest.LogCaptureFixture
) -> None:
    hook.answers = [500] * 9

    await Notifier(settings_for(rollback_webhook_url=hook.url + "?token=s3cret")).tell(switch)
    await Notifier(settings_for(rollback_webhook_url="http://127.0.0.1:1/s3cret")).tell(switch)

    assert len(hook.told) == 3
    assert "the webhook was not told" in caplog.text.lower()
    ours = [record for record in caplog.records if record.name.startswith("generation_service")]
    assert not any("s3cret" in record.getMessage() for record in ours)


async def test_of_what_an_operator_does_nobody_is_told(switch: Switch, hook: Hook, settings_for: SettingsFor) -> None:
    await Notifier(settings_for(rollback_webhook_url=hook.url)).tell(replace(switch, source="operator"))

    assert hook.told == []


async def test_the_command_gets_the_id_and_no_shell(switch: Switch, settings_for: SettingsFor, tmp_path: Path) -> None:
    program = tmp_path / "a program; with $(signs)"
    program.write_text(f'#!/bin/sh\nprintf %s "$#:$1" > {tmp_path}/told\n', encoding="utf-8")
    program.chmod(0o755)

    await Notifier(settings_for(rollback_command=str(program))).tell(switch)

    assert (tmp_path / "told").read_text(encoding="utf-8") == f"1:{switch.id}"


async def test_a_command_that_hangs_is_ended(
    switch: Switch, settings_for: SettingsFor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation_service.switching.notify._COMMAND_SECONDS", 0.2)
    program = tmp_path / "hangs"
    program.write_text("#!/bin/sh\nexec sleep 600\n", encoding="utf-8")
    program.chmod(0o755)

    await Notifier(settings_for(rollback_command=str(program))).tell(switch)


async def test_a_command_that_is_not_there_is_only_said(
    switch: Switch, settings_for: SettingsFor, caplog: pytest.LogCaptureFixture
) -> None:
    await Notifier(settings_for(rollback_command="/nowhere/at/all")).tell(switch)

    assert "could not be run" in caplog.text
