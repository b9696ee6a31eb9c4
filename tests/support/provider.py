"""A model provider on a loopback port: counts calls, holds steps open, and fails on demand.

In a test:                          with Provider() as provider: provider.hold("signal")
As a process of its own:            python -m tests.support.provider --port 0
Towards it, from any process:       LLM_PROVIDER=openai LLM_BASE_URL=<its base_url> LLM_MODEL=mock
The model's name may be that of a fault (see `tests/support/faults.py`): then every call meets that fault.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.support import in_thread
from tests.support.faults import ANSWERS, FAULTS, Move, moves

_DEADLINE_SECONDS = 20.0


@dataclass
class Call:
    """One request to /chat/completions as the provider saw it; `outcome` is open, answered, refused or disconnected."""

    number: int
    job_id: str
    step: str
    attempt: str
    key: str
    model: str
    body: dict[str, Any] = field(repr=False)
    authorization: str = field(repr=False, default="")
    fault: str | None = None
    outcome: str = "open"
    held: bool = False


class Provider:
    """The server, run by a thread of the process that made it; every method may be called from any thread.

    The waiting methods block: in a coroutine call them through `asyncio.to_thread`.
    """

    def __init__(self, port: int = 0, pace_seconds: float = 0.0) -> None:
        self.calls: list[Call] = []
        self.pace_seconds = pace_seconds  # between two pieces of a stream
        self._changed = threading.Condition()
        self._gates: dict[str, asyncio.Event] = {}
        self._faults: list[dict[str, Any]] = []
        self._answers: dict[str, str] = {}
        self._socket = socket.create_server(("127.0.0.1", port), backlog=512)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.base_url = self.url + "/v1"
        config = uvicorn.Config(self._application(), log_config=None, log_level="critical", lifespan="off")
        config.timeout_graceful_shutdown = 1
        self._server = uvicorn.Server(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="mock-provider", daemon=True)

    @property
    def settings(self) -> dict[str, str]:
        """The environment of a service that asks this server."""
        return {"LLM_PROVIDER": "openai", "LLM_BASE_URL": self.base_url, "LLM_MODEL": "mock"}

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait_for(lambda: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._server.should_exit = True
        self._thread.join(_DEADLINE_SECONDS)
        self._socket.close()

    # What a test says

    def hold(self, step: str) -> None:
        """Keep every call of `step` open after its first piece, until `release`."""
        self._gates.setdefault(step, asyncio.Event())

    def release(self, step: str | None = None) -> None:
        """Let the held calls of `step` (of every step) go on, and hold no more."""
        names = list(self._gates) if step is None else [step]
        gates = [gate for name in names if (gate := self._gates.pop(name, None))]
        if self._loop is not None and self._loop.is_running():
            for gate in gates:
                self._loop.call_soon_threadsafe(gate.set)

    def fail(self, step: str, fault: str, times: int | None = 1, job_id: str | None = None) -> None:
        """Answer the next `times` calls of `step` (None: all) with a fault of `tests/support/faults.py`."""
        if fault not in FAULTS:
            raise ValueError(f"no such fault: {fault}")
        self._faults.append({"step": step, "fault": fault, "times": times, "job_id": job_id})

    def answer(self, step: str, text: str) -> None:
        """Answer the calls of `step` with `text` from now on."""
        self._answers[step] = text

    def reset(self) -> None:
        """Forget calls, faults and answers, and hold nothing."""
        self.release()
        self._faults.clear()
        self._answers.clear()
        with self._changed:
            self.calls.clear()

    # What a test asks

    def seen(self, step: str | None = None, job_id: str | None = None) -> list[Call]:
        """The calls so far, of one step or one job where named."""
        with self._changed:
            return [call for call in self.calls if step in {None, call.step} and job_id in {None, call.job_id}]

    def count(self, step: str | None = None, job_id: str | None = None) -> int:
        return len(self.seen(step, job_id))

    def wait_for(self, condition: Callable[[], bool], timeout_seconds: float = _DEADLINE_SECONDS) -> None:
        """Wait until `condition` holds; it is looked at after every change. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError("the provider did not see what was waited for")
                self._changed.wait(min(left, 0.05))

    def wait_for_calls(self, count: int, step: str | None = None, job_id: str | None = None) -> list[Call]:
        self.wait_for(lambda: self.count(step, job_id) >= count)
        return self.seen(step, job_id)

    def wait_until_held(
        self, step: str, count: int = 1, job_id: str | None = None, timeout_seconds: float = _DEADLINE_SECONDS
    ) -> list[Call]:
        """Wait until `count` calls of `step` are open and held. Raises TimeoutError."""
        self.wait_for(lambda: sum(call.held for call in self.seen(step, job_id)) >= count, timeout_seconds)
        return [call for call in self.seen(step, job_id) if call.held]

    # The server

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await in_thread.serve(self._server, self._socket)

    def _application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/calls", self._show_calls),
                Route("/{action:str}", self._control, methods=["POST"]),
            ]
        )

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        with self._changed:
            call = Call(
                number=len(self.calls) + 1,
                job_id=request.headers.get("x-job-id", ""),
                step=request.headers.get("x-job-step", ""),
                attempt=request.headers.get("x-job-attempt", ""),
                key=request.headers.get("idempotency-key", ""),
                model=str(body.get("model")),
                body=body,
                authorization=request.headers.get("authorization", ""),
            )
            self.calls.append(call)
            self._changed.notify_all()
        call.fault = self._fault_of(call)
        return _Played(self, call)

    def _fault_of(self, call: Call) -> str | None:
        for planted in self._faults:
            if planted["step"] == call.step and planted["job_id"] in {None, call.job_id} and planted["times"] != 0:
                planted["times"] = None if planted["times"] is None else planted["times"] - 1
                return str(planted["fault"])
        return call.model if call.model in FAULTS else None

    async def _show_calls(self, request: Request) -> Response:
        step, job_id = request.query_params.get("step"), request.query_params.get("job_id")
        shown = [asdict(call) for call in self.seen(step, job_id)]
        return JSONResponse({"count": len(shown), "calls": shown})

    async def _control(self, request: Request) -> Response:
        """POST /hold {step}, /release {step?}, /fail {step, fault, times?, job_id?}, /answer {step, text}, /reset."""
        action = request.path_params["action"]
        if action not in {"hold", "release", "fail", "answer", "reset"}:
            return JSONResponse({"error": {"message": "no such route"}}, 404)
        arguments = json.loads(await request.body() or b"{}")
        getattr(self, action)(**arguments)
        return JSONResponse({"ok": True})

    def text_for(self, call: Call) -> str:
        return self._answers.get(call.step, ANSWERS.get(call.step, ANSWERS["insight"]))

    def gate(self, call: Call) -> asyncio.Event | None:
        return self._gates.get(call.step)

    def note(self, call: Call, *, held: bool = False, outcome: str | None = None) -> None:
        with self._changed:
            call.held = held
            call.outcome = outcome or call.outcome
            self._changed.notify_all()


class _Played(Response):
    """An answer sent move by move, so that it can stop, wait, or break wherever a fault wants it."""

    def __init__(self, provider: Provider, call: Call) -> None:
        self.background = None
        self._provider = provider
        self._call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(receive())  # the body was read: what comes next is the disconnect
        try:
            outcome = await self._play(send, gone)
        finally:
            gone.cancel()
        self._provider.note(self._call, outcome=outcome)
        if outcome == "cut":
            raise ConnectionAbortedError("cut on purpose")  # uvicorn closes the connection without an end

    async def _play(self, send: Send, gone: "asyncio.Future[Any]") -> str:
        outcome = "answered"
        for move in moves(self._call.fault, self._provider.text_for(self._call), self._call.model):
            if gone.done() or not await self._make(move, send, gone):
                return "disconnected"
            outcome = move.outcome or outcome
        return outcome

    async def _make(self, move: Move, send: Send, gone: "asyncio.Future[Any]") -> bool:
        """Make one move; False where the client went away."""
        if move.message:
            await send(move.message)
        if move.hangs:
            return not await _first(gone, asyncio.Event())
        if move.holds and (gate := self._provider.gate(self._call)):
            self._provider.note(self._call, held=True)
            released = await _first(gone, gate)
            self._provider.note(self._call, held=False)
            return released
        await asyncio.sleep(self._provider.pace_seconds if move.message else 0)
        return True


async def _first(gone: "asyncio.Future[Any]", gate: asyncio.Event) -> bool:
    """Wait for either; whether the gate opened while the client was still there."""
    opened = asyncio.ensure_future(gate.wait())
    try:
        await asyncio.wait({gone, opened}, return_when=asyncio.FIRST_COMPLETED)
        return not gone.done()
    finally:
        opened.cancel()


def main() -> None:
    """Serve until a signal; the first line printed is JSON with the base URL."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--pace-seconds", type=float, default=0.0)
    arguments = parser.parse_args()
    with Provider(arguments.port, arguments.pace_seconds) as provider, contextlib.suppress(KeyboardInterrupt):
        print(json.dumps({"base_url": provider.base_url, "control": provider.url}), flush=True)  # noqa: T201 - its output
        threading.Event().wait()


if __name__ == "__main__":
    main()
