"""A service on a loopback port that behaves as a test says: well by default, and wrong in one respect."""

import asyncio
import itertools
import json
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from scripts.embedded.waiting import wait_until
from tests.support import in_thread

_DEADLINE_SECONDS = 20.0
ADMIN_TOKEN = "of-the-admin"


@dataclass
class Behaviour:
    """How it answers; each field is one respect in which it may be wrong."""

    worker_system: dict[str, Any] = field(default_factory=lambda: {"enabled": False, "type": "background_tasks"})
    ready_status: int = 200
    answer_seconds: float = 0.0
    backend: str = "background_tasks"
    ids: tuple[int, ...] = (1, 2, 3, 4)
    progress: tuple[float, ...] = (0.0, 50.0, 75.0, 100.0)
    ending: str = "completed"
    job_seconds: float = 0.1  # what the job says that it took; its stream takes none of it
    accepts: bool = True
    text: str = "# A script\n"
    number_skipped: int = 0
    saved_for: str | None = None  # another job has this episode
    document: str = "completed"
    row: tuple[str, ...] = ()  # how the jobs behind the first end; completed beyond these
    list_statuses: tuple[int, ...] = (200,)
    list_seconds: float = 0.0
    processes: list[dict[str, Any]] = field(
        default_factory=lambda: [process("api", "serving", 100), process("worker", "standby", 50)]
    )


def process(role: str, state: str, megabytes: float) -> dict[str, Any]:
    """One process as /api/admin/stats tells of it."""
    figures = {"rss_bytes": int(megabytes * 1024 * 1024)}
    return {"name": f"{role}@here", "role": role, "host": "here", "pid": 7, "state": state, "figures": figures}


class ScriptedService:
    """The server, run by a thread of the process that made it."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.asked: list[str] = []
        self.deleted: list[str] = []
        self.tokens: set[str | None] = set()
        self._jobs: list[dict[str, Any]] = []
        self._listed = itertools.count()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(self._application(), log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="scripted-service", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert wait_until(lambda: self._server.started, _DEADLINE_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(_DEADLINE_SECONDS)
        self._socket.close()

    def _run(self) -> None:
        in_thread.run(self._server, self._socket)

    def _application(self) -> Starlette:
        get, post = ["GET"], ["POST"]
        episodes = "/api/projects/rollback-verification/episodes"
        return Starlette(
            routes=[
                Route("/health", self._health, methods=get),
                Route("/readyz", self._ready, methods=get),
                Route("/api/generation", self._submit, methods=post),
                Route("/api/generation", self._list, methods=get),
                Route("/api/generation/{number}", self._job, methods=get),
                Route("/api/generation/{number}/events", self._events, methods=get),
                Route("/api/generation/{number}/result", self._result, methods=get),
                Route(episodes, self._episodes, methods=get),
                Route(episodes + "/{number}", self._episode, methods=get),
                Route("/api/v1/documents/upload", self._upload, methods=post),
                Route("/api/v1/documents/{number}/status", self._document, methods=get),
                Route("/api/v1/documents/{number}", self._delete, methods=["DELETE"]),
                Route("/api/admin/stats", self._stats, methods=get),
            ]
        )

    async def _health(self, _request: Request) -> Response:
        return JSONResponse({"worker_system": self.behaviour.worker_system})

    async def _ready(self, _request: Request) -> Response:
        await asyncio.sleep(self.behaviour.answer_seconds)
        return JSONResponse({}, self.behaviour.ready_status)

    async def _submit(self, request: Request) -> Response:
        if not self.behaviour.accepts:
            return JSONResponse({"code": "service_full"}, 503)
        wanted = await request.json()
        self.tokens.add(request.headers.get("Authorization"))
        self.asked.append(f"{wanted['project_id']} {wanted['priority']}")
        number, said = len(self._jobs), self.behaviour
        ending = said.ending if number == 0 else dict(enumerate(said.row, 1)).get(number, "completed")
        began = datetime.now(UTC)
        job = {
            "job_id": str(number),
            "status": ending,
            "backend": said.backend,
            "progress": said.progress[-1],
            "error": {"code": "provider_refused"} if ending == "failed" else None,
            "result": {"episode_number": number + 1 + said.number_skipped},
            "started_at": began.isoformat(),
            "completed_at": (began + timedelta(seconds=said.job_seconds)).isoformat(),
        }
        self._jobs.append(job)
        return JSONResponse(job, 202)

    async def _job(self, request: Request) -> Response:
        return JSONResponse(self._jobs[int(request.path_params["number"])])

    async def _events(self, _request: Request) -> Response:
        return StreamingResponse(self._frames(), media_type="text/event-stream")

    async def _frames(self) -> AsyncIterator[str]:
        said = self.behaviour
        yield "retry: 10\n\n"
        for number, progress in zip(said.ids, said.progress, strict=True):
            kind = said.ending if number == said.ids[-1] else "progress"
            data = {"sequence": number, "progress": progress, "backend": said.backend}
            yield f"id: {number}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"

    async def _result(self, _request: Request) -> Response:
        return PlainTextResponse(self.behaviour.text)

    async def _episodes(self, request: Request) -> Response:
        after = int(request.query_params.get("cursor", 0))
        numbers = [job["result"]["episode_number"] for job in self._jobs]
        items = [{"number": number} for number in numbers if number > after]
        return JSONResponse({"items": items, "next_cursor": None})

    async def _episode(self, request: Request) -> Response:
        number = int(request.path_params["number"])
        saved = next(job["job_id"] for job in self._jobs if job["result"]["episode_number"] == number)
        return JSONResponse({"number": number, "job_id": self.behaviour.saved_for or saved})

    async def _upload(self, _request: Request) -> Response:
        return JSONResponse({"document_id": "7"}, 202)

    async def _document(self, _request: Request) -> Response:
        code = None if self.behaviour.document == "completed" else "unreadable"
        return JSONResponse({"status": self.behaviour.document, "code": code})

    async def _delete(self, request: Request) -> Response:
        self.deleted.append(request.path_params["number"])
        return JSONResponse({"document_id": self.deleted[-1]})

    async def _list(self, _request: Request) -> Response:
        await asyncio.sleep(self.behaviour.list_seconds)
        statuses = self.behaviour.list_statuses
        return JSONResponse({"items": []}, statuses[next(self._listed) % len(statuses)])

    async def _stats(self, request: Request) -> Response:
        if request.headers.get("Authorization") != f"Bearer {ADMIN_TOKEN}":
            return JSONResponse({"code": "unauthorized"}, 401)
        return JSONResponse({"processes": self.behaviour.processes})
