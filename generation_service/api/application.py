"""The application: routes, problems and streams around one runtime."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI

from generation_service.api import (
    admin,
    documents,
    generation,
    health,
    metrics,
    problems,
    programs,
    projects,
    results,
    system,
)
from generation_service.api.admin.access import AdminToken
from generation_service.api.admin.journal import Journal
from generation_service.api.auth import Identity
from generation_service.api.drain import Drain
from generation_service.api.feed import Feed
from generation_service.api.health import VERSION, Dependencies
from generation_service.api.middleware import RequestMiddleware
from generation_service.api.ports import Runtime
from generation_service.api.pulse import Pulse
from generation_service.api.stream import Slots, Streams
from generation_service.errors import ConfigurationError
from generation_service.jobs.event_log import EventLogs
from generation_service.settings import say_of_setting
from workers.optimized_background_tasks import TaskPool

_DESCRIPTION = """\
Long, document-grounded generation as jobs that survive anything.

Errors are `application/problem+json` (RFC 9457) with a stable `code`, in English or Korean by `Accept-Language`.
"""

# system before generation: /api/generation/system-info is no job.
_ROUTERS = (system, generation, results, projects, documents, programs, health, metrics)


def create_app(runtime: Runtime) -> FastAPI:
    """Build the application around `runtime`; its lifespan starts and stops what the runtime runs.

    The lifespan's state has `begin_drain`, a function for the server to call when it is asked to end.
    Raises ConfigurationError where it would be open to the world without tokens.
    """
    settings = runtime.settings
    if settings.listens_publicly and not settings.api_tokens:
        raise ConfigurationError(say_of_setting("public_host", host=settings.host))
    routers = [module.router for module in _ROUTERS]
    if settings.admin_token is not None:  # else it is as if there were no such routes
        routers += admin.ROUTERS
    app = FastAPI(
        title="Generation service",
        version=VERSION,
        description=_DESCRIPTION,
        lifespan=_lifespan(runtime),
        redirect_slashes=False,
        # As they are: an included router has each of its routes made anew, and the first request waits for that.
        # So a router has no lifespan, middleware or overrides of its own.
        routes=[route for router in routers for route in router.routes],
    )
    _equip(app, runtime)
    problems.install(app)
    if settings.admin_token is not None:
        _admit_operators(app, runtime, settings.admin_token.get_secret_value())
    app.add_middleware(RequestMiddleware, answers=runtime.telemetry.answers)
    app.openapi = problems.with_problem_shape(app)  # type: ignore[method-assign]  # FastAPI's own way to extend it
    return app


def _equip(app: FastAPI, runtime: Runtime) -> None:
    """Give the application what its routes look up: one of each a process."""
    app.state.runtime = runtime
    app.state.settings = runtime.settings
    app.state.identity = Identity(runtime.settings.api_tokens)
    app.state.drain = Drain()
    app.state.tasks = TaskPool()
    app.state.dependencies = Dependencies(runtime)
    app.state.streams = Streams(
        feed=Feed(log=EventLogs(runtime.database), news=runtime.wakeups),
        drain=app.state.drain,
        slots=Slots(runtime.settings.max_streams),
        pulse=Pulse(
            ping_seconds=runtime.settings.stream_ping_seconds,
            send_timeout_seconds=runtime.settings.stream_send_timeout_seconds,
        ),
        settings=runtime.settings,
    )
    runtime.operations.processes.report(lambda: {"streams": app.state.streams.slots.taken})


def _admit_operators(app: FastAPI, runtime: Runtime, token: str) -> None:
    app.state.admin_token = AdminToken(token)
    app.state.journal = Journal(runtime.database, runtime.operations.process)


def _lifespan(runtime: Runtime) -> Callable[[FastAPI], AbstractAsyncContextManager[dict[str, Any]]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        feed: Feed = app.state.streams.feed
        journal: Journal | None = getattr(app.state, "journal", None)

        def begin_drain() -> None:
            runtime.begin_drain()
            app.state.drain.begin()

        async with runtime.running():
            feed.start()
            if journal:
                journal.start()
            try:
                yield {"begin_drain": begin_drain}
            finally:
                begin_drain()
                await feed.stop()
                if journal:
                    await journal.stop()
                await asyncio.to_thread(app.state.tasks.close)

    return lifespan
