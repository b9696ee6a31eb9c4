"""An API around a core whose steps a test controls, asked through the application or over a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from uvicorn.config import Config

from generation_service.api.application import create_app
from generation_service.cli.draining import DrainingServer
from generation_service.database import Database
from generation_service.documents import DocumentKind, Documents, Parser, Reading
from generation_service.jobs.model import Job
from generation_service.jobs.ports import JobKind, StepOutcome, StepRun
from generation_service.jobs.service import Jobs
from generation_service.jobs.submission import Admission
from generation_service.objects import ObjectStore
from generation_service.pipeline import episodes
from generation_service.programs.kind import ProgramFileKind
from generation_service.programs.service import Programs
from generation_service.retrieval import Indexer
from generation_service.settings import Settings
from generation_service.switching.ledger import Ledger
from generation_service.switching.processes import Processes
from generation_service.telemetry import JobTelemetry
from generation_service.wakeups import Fanout, InProcessWakeups
from tests.support.settings import SettingsFor
from tests.support.toy import Core, ToyKind, nothing
from workers.rq_view import RedisView

STEPS = ("snapshot", "doc_ingest", "external", "context", "signal", "validation", "index", "insight")
BODY: dict[str, Any] = {"project_id": "harbour", "episode_data": {"title": "The letter"}}


async def insight(run: StepRun) -> StepOutcome:
    """Writes a text in two pieces, and the content that a result is rendered from."""
    await run.token("EXT. HARBOUR\n")
    await run.token("ANA\nIt came today.\n")
    return StepOutcome(output={"text": "EXT. HARBOUR"})


class GenerationToy(ToyKind):
    """A generation whose steps are a test's own; it leaves an episode as the real one does."""

    def on_ended(self, connection, endings):
        super().on_ended(connection, endings)
        written = [(one.job, content_of(one.job)) for one in endings if one.status == "completed"]
        saved = episodes.save_all(connection, written)
        return [saved.get(one.job.id) for one in endings]


def content_of(job: Job) -> dict[str, Any]:
    """The content of an episode, as small as the renderers take it."""
    return {
        "recipe": job.recipe,
        "title": "The letter",
        "language": "en",
        "generator": "offline",
        "is_language_model": False,
        "text": "# The letter\n\nIt came today.\n",
    }


@dataclass
class Delivered:
    """Takes deliveries and runs nothing, until a test says so."""

    jobs: list[Job] = field(default_factory=list)

    def deliver(self, jobs: Iterable[Job]) -> None:
        self.jobs.extend(jobs)


def a_view(settings: Settings) -> RedisView:
    """A view of RQ whose Redis is not there."""
    return RedisView(settings.redis_address, timeout_seconds=0.5)


class NoRedis:
    def __init__(self, *, answers: bool) -> None:
        self.answers = answers

    def ping(self) -> bool:
        return self.answers


class ApiRuntime:
    """The runtime of an API process, with a toy core in it."""

    def __init__(self, settings: Settings, database: Database, kind: ToyKind) -> None:
        self.settings = settings
        self.database = database
        self.kind = kind
        self.core = Core(database, kind)
        self.wakeups = Fanout(InProcessWakeups())
        self.telemetry = JobTelemetry()
        self.adapter = Delivered()
        self.rq = NoRedis(answers=True)
        # Of the operations only what the open routes ask: the admin routes are tested with all of them.
        self.operations = SimpleNamespace(
            ledger=Ledger(database=database, view=a_view(settings)),
            processes=Processes(database=database, name="here", role="api"),
        )
        self.drains = False
        admission = Admission(
            max_live=settings.max_live_jobs,
            max_live_per_user=settings.max_live_jobs_per_user,
            max_attempts=settings.max_attempts,
        )
        self.objects = ObjectStore.in_memory()
        reading = Reading(self.objects, Parser.of(settings), Indexer())
        files = ProgramFileKind(database, reading, retry_max=settings.program_retry_max)
        self.core.kinds |= {"document": DocumentKind(database, reading), files.kind: files}
        kinds: dict[str, JobKind] = dict(self.core.kinds)
        self.jobs = Jobs(database=database, kinds=kinds, admission=admission, wakeups=self.wakeups)
        self.documents = Documents(database, self.objects, self.jobs, settings)
        self.programs = Programs(database, self.objects, self.jobs, settings)

    def begin_drain(self) -> None:
        self.drains = True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self.core.beating():
            yield

    async def run(self, job_id: str) -> None:
        """Run a job here and now, waking its readers as the executor does."""
        job = await self.jobs.get(job_id)
        await self.core.run(job)
        self.wakeups.wake([job.id])


@dataclass
class Api:
    """An application that runs, and a client for it."""

    app: FastAPI
    runtime: ApiRuntime
    http: httpx2.AsyncClient

    async def submit(self, body: dict[str, Any] | None = None, /, **headers: str) -> dict[str, Any]:
        answer = await self.http.post("/api/generation", json=body or BODY, headers=headers)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    async def completed(self) -> dict[str, Any]:
        job = await self.submit()
        await self.runtime.run(job["job_id"])
        return dict((await self.http.get(job["urls"]["self"])).json())


@asynccontextmanager
async def api_over(runtime: ApiRuntime) -> AsyncIterator[Api]:
    """The application without a socket: quick, but for whole answers only."""
    app = create_app(runtime)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://service") as http,
    ):
        yield Api(app, runtime, http)


@dataclass
class Served(Api):
    """An application behind a real server on a port of its own."""

    server: DrainingServer
    port: int


@asynccontextmanager
async def served(runtime: ApiRuntime) -> AsyncIterator[Served]:
    """The application behind the real server, in this event loop."""
    app = create_app(runtime)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config = Config(app, lifespan="on", log_config=None, timeout_graceful_shutdown=10)
    server = DrainingServer(config)
    task = asyncio.create_task(server._serve([listener]), name="server")
    try:
        async with asyncio.timeout(20):
            while not server.started:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.01)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as http:
            yield Served(app, runtime, http, server, port)
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 20)


@pytest.fixture
def kind() -> GenerationToy:
    return GenerationToy({name: insight if name == "insight" else nothing for name in STEPS}, kind="generation")


@pytest.fixture
def runtime(settings_for: SettingsFor, database: Database, kind: GenerationToy) -> ApiRuntime:
    return ApiRuntime(settings_for(), database, kind)


@pytest.fixture
def sqlite_runtime(settings_for: SettingsFor, sqlite_database: Database, kind: GenerationToy) -> ApiRuntime:
    return ApiRuntime(settings_for(), sqlite_database, kind)


@pytest.fixture
async def api(runtime: ApiRuntime) -> AsyncIterator[Api]:
    """The application on either database."""
    async with api_over(runtime) as api:
        yield api


@pytest.fixture
async def small_api(sqlite_runtime: ApiRuntime) -> AsyncIterator[Api]:
    """The application on SQLite, where the database does not matter."""
    async with api_over(sqlite_runtime) as api:
        yield api


@pytest.fixture
async def server(sqlite_runtime: ApiRuntime) -> AsyncIterator[Served]:
    """The application behind a real server, for streams, sockets and drains."""
    async with served(sqlite_runtime) as api:
        yield api
