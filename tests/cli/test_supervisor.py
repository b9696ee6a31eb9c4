"""What the supervisor of `serve` promises, tried with real processes."""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx2
import psutil
import pytest
from sse_starlette.sse import AppStatus
from uvicorn.config import Config

from generation_service.bootstrap import build
from generation_service.cli.draining import DrainingServer
from generation_service.switching.supervision import ProcessIdentity
from tests.cli.serving import Serving, end, eventually, is_free, is_gone, start
from tests.cli.tiny import application
from tests.support.settings import SettingsFor


@pytest.fixture
def serving() -> Iterator[Serving]:
    with Serving() as one:
        yield one.wait_until_ready()


class Callers:
    """Threads that ask again and again, each time over a fresh connection, until told to stop."""

    def __init__(self, serving: Serving, count: int) -> None:
        self.answers: list[int] = []
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._serving = serving
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        while not self._stop.is_set():
            try:
                self.answers.append(self._serving.serving_pid())
            except httpx2.HTTPError as error:
                self.errors.append(repr(error))


def test_sighup_replaces_the_only_process_without_refusing_a_request(serving: Serving) -> None:
    before = serving.serving_pid()

    with Callers(serving, 3) as callers:
        serving.signal(signal.SIGHUP)
        eventually(lambda: is_gone(before), what="the old process stayed")
        asked = len(callers.answers)
        eventually(lambda: len(callers.answers) > asked + 50, what="nobody answered after the restart")

    assert callers.errors == []
    assert len(set(callers.answers)) == 2


def test_an_open_stream_ends_in_peace_when_its_process_is_replaced(serving: Serving) -> None:
    with httpx2.stream("GET", f"{serving.url}/stream", trust_env=False, timeout=30) as answer:
        lines = answer.iter_lines()
        before = int(next(lines))

        serving.signal(signal.SIGHUP)

        assert list(lines) == ["farewell"]  # a body that is cut raises instead
    assert serving.serving_pid() != before


def test_sigterm_ends_open_streams_and_exits_0(serving: Serving) -> None:
    with httpx2.stream("GET", f"{serving.url}/stream", trust_env=False, timeout=30) as answer:
        lines = answer.iter_lines()
        child = int(next(lines))

        serving.signal(signal.SIGTERM)

        assert list(lines) == ["farewell"]
    assert serving.finish()[0] == 0
    assert is_gone(child)


def test_a_supervisor_that_is_killed_leaves_no_process_and_frees_its_port(serving: Serving) -> None:
    family = psutil.Process(serving.process.pid).children(recursive=True)
    assert serving.serving_pid() in [child.pid for child in family]

    serving.signal(signal.SIGKILL)

    eventually(lambda: all(is_gone(child.pid) for child in family), what=f"still there: {family}")
    eventually(lambda: is_free(serving.port), what="the port is taken")  # a process is dead before its last thread is


def test_a_process_that_is_killed_is_replaced(serving: Serving) -> None:
    before = serving.serving_pid()

    os.kill(before, signal.SIGKILL)

    eventually(lambda: is_gone(before), what="it did not die")
    assert serving.serving_pid() != before  # whoever asks meanwhile waits, and is not refused


def test_a_successor_that_does_not_start_leaves_the_predecessor_in_place(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    with Serving(environment={"BROKEN_START": str(broken)}) as serving:
        before = serving.wait_until_ready().serving_pid()
        broken.touch()

        serving.signal(signal.SIGHUP)

        assert serving.process.stderr
        said = [serving.process.stderr.readline() for _ in range(2)]
        assert any("BROKEN: this start was broken on purpose" in line for line in said)
        assert serving.serving_pid() == before
        serving.signal(signal.SIGTERM)
        assert serving.finish()[0] == 0


def test_a_start_that_fails_is_said_once_and_not_tried_for_ever(tmp_path: Path) -> None:
    with Serving(environment={"BROKEN_START": str(tmp_path)}) as serving:
        code, said = serving.finish()

    assert code == 1
    assert said.count("BROKEN: this start was broken on purpose") == 1
    assert "did not start" in said
    assert "Traceback" not in said


def test_a_process_asks_its_supervisor_for_a_restart_and_hears_what_became_of_it(serving: Serving) -> None:
    before = serving.serving_pid()

    told = serving.get("/restart/first")

    assert told == str(ProcessIdentity.of(serving.process.pid))
    eventually(lambda: is_gone(before), what="the old process stayed")
    eventually(lambda: serving.get("/words") == "first replaced \n", what="the successor was not told")


def test_for_each_id_there_is_one_restart(serving: Serving) -> None:
    """Whoever asks may ask again, and so may its successor, which cannot know whether it was heard."""
    before = serving.serving_pid()
    serving.get("/restart/first")
    eventually(lambda: is_gone(before), what="the old process stayed")
    between = serving.serving_pid()

    serving.get("/restart/first")
    serving.get("/restart/second")

    eventually(lambda: is_gone(between), what="the second restart did not come")
    words: list[str] = []
    eventually(lambda: bool(words.append(serving.get("/words")) or words[-1]), what="nothing was said")
    assert words[-1] == "second replaced \n"


def test_the_predecessor_hears_that_its_successor_did_not_start(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    with Serving(environment={"BROKEN_START": str(broken)}) as serving:
        before = serving.wait_until_ready().serving_pid()
        broken.touch()

        serving.get("/restart/first")

        words: list[str] = []
        eventually(lambda: bool(words.append(serving.get("/words")) or words[-1]), what="nothing was said")
        assert words[-1] == "first failed the successor ended with 3\n"
        assert serving.serving_pid() == before


def test_a_process_that_asks_and_dies_at_once_is_heard_or_replaced() -> None:
    """The supervisor reads what lies in a line before it buries whoever was at its other end."""
    with Serving(workers=2) as serving:
        serving.wait_until_ready()
        before = {child.pid for child in _api_processes(serving)}

        serving.get("/restart/first")
        os.kill(serving.serving_pid(), signal.SIGKILL)

        eventually(lambda: all(is_gone(pid) for pid in before), what="an old process stayed")
        eventually(lambda: len(_api_processes(serving)) == 2, what="not two processes")


def test_several_processes_are_all_replaced_one_after_the_other() -> None:
    with Serving(workers=2) as serving:
        serving.wait_until_ready()
        before = {child.pid for child in _api_processes(serving)}

        serving.signal(signal.SIGHUP)

        eventually(lambda: all(is_gone(pid) for pid in before), what="an old process stayed")
        eventually(lambda: len(_api_processes(serving)) == 2, what="not two processes")


def test_a_restart_that_is_asked_of_all_by_name_is_the_supervisors_business(serving: Serving) -> None:
    """`pkill -HUP -f` says it to the copies of a supervisor, too."""
    child = serving.serving_pid()

    os.kill(child, signal.SIGHUP)
    with Callers(serving, 1) as callers:
        eventually(lambda: len(callers.answers) > 20, what="it does not answer")

    assert (callers.errors, set(callers.answers)) == ([], {child})


_TOLD_TO_END_AT_ONCE = """
import signal
from generation_service.cli.serve import listen
from generation_service.cli.supervisor import ApiConfig, ApiProcess, Supervisor
config = ApiConfig("tests.cli.tiny:application", factory=True, log_config=None)
listener = listen("127.0.0.1", 0)
Supervisor(config, [listener], end_seconds=1, on_ready=print)  # its handlers are what a copy begins with
for _ in range(20):
    process = ApiProcess(config, [listener], forked=True)
    process.start()
    process.process.terminate()
    process.process.join(20)
    assert process.exitcode == -signal.SIGTERM, process.exitcode
"""


def test_a_copy_that_is_told_to_end_in_its_first_moment_hears_it() -> None:
    done = start([sys.executable, "-c", _TOLD_TO_END_AT_ONCE])
    try:
        _, said = done.communicate(timeout=60)
    finally:
        end(done)
    assert done.returncode == 0, said


def _api_processes(serving: Serving) -> list[psutil.Process]:
    return [child for child in psutil.Process(serving.process.pid).children() if _serves(child)]


def _serves(child: psutil.Process) -> bool:
    try:
        return bool(child.cmdline()) and "resource_tracker" not in " ".join(child.cmdline())  # nor a dead one
    except psutil.Error:  # it has just ended
        return False


class LastCaller(socket.socket):
    """Listens; calls `then` once all who waited are accepted, in the same iteration of the event loop."""

    then: Callable[[], None]

    def accept(self) -> tuple[socket.socket, Any]:
        try:
            return super().accept()
        except BlockingIOError:
            self.then()
            raise


async def test_whoever_was_just_accepted_when_the_drain_begins_is_answered() -> None:
    listener = LastCaller()
    listener.bind(("127.0.0.1", 0))
    server = DrainingServer(Config(application(), lifespan="on", log_config=None))
    listener.then = server._begin_drain
    serving = asyncio.create_task(server._serve([listener]))
    with socket.socket() as caller:
        async with asyncio.timeout(20):
            while not server.started:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.01)
            caller.settimeout(0)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(caller, listener.getsockname())
            await loop.sock_sendall(caller, b"GET /pid HTTP/1.1\r\nHost: here\r\n\r\n")

            answer = await loop.sock_recv(caller, 4096)

            server.should_exit = True
            await serving
    assert answer.startswith(b"HTTP/1.1 200")


async def test_a_server_that_is_told_to_end_waits_for_no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation_service.cli.draining._TICK_SECONDS", 3600.0)
    monkeypatch.setattr("generation_service.cli.draining._LAST_REQUESTS_SECONDS", 0.0)
    monkeypatch.setattr(AppStatus, "should_exit", False)  # the end of a server sets it, for all streams of a process
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = DrainingServer(Config(application(), lifespan="on", log_config=None))
    serving = asyncio.create_task(server._serve([listener]))
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        for _ in range(10):
            await asyncio.sleep(0)  # it waits for its next tick by now
        await asyncio.to_thread(server.handle_exit, signal.SIGTERM, None)
        await serving


async def test_the_date_of_answers_goes_with_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation_service.cli.draining._TICK_SECONDS", 0.01)
    server = DrainingServer(Config(application(), lifespan="on", log_config=None))
    server.config.load()
    days = iter(range(1_000_000))
    monkeypatch.setattr("uvicorn.server.time.time", lambda: next(days) * 86_400.0)
    running = asyncio.create_task(server.main_loop())
    seen: set[bytes] = set()
    async with asyncio.timeout(20):
        while len(seen) < 3:
            await asyncio.sleep(0.01)
            seen |= {value for name, value in server.server_state.default_headers if name == b"date"}
        server.should_exit = True
        await running


async def test_a_notice_that_nobody_takes_does_not_outlast_a_supervisors_patience(
    settings_for: SettingsFor, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation_service.bootstrap.NOTICE_SECONDS", 0.0)
    runtime = build(settings_for(database_url=sqlite_url, shutdown_grace_seconds=0.0), "api")
    async with asyncio.timeout(20):
        async with runtime.running():
            notice = asyncio.create_task(asyncio.Event().wait())
            runtime.operations.switchover._notices.add(notice)  # type: ignore[arg-type]

    assert not notice.done()
    notice.cancel()
