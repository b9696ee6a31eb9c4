"""Routes for machines that watch: is it alive, is it ready, how is it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, Generic, Literal, TypeVar

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from generation_service.api.drain import Drain
from generation_service.api.models import HealthModel
from generation_service.api.ports import Runtime, runtime_of
from generation_service.api.resources import rfc3339
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs.routing import Mode, current_mode
from generation_service.switching.state import read_state

VERSION = version("generation-service")

_LOOK_SECONDS = 0.2  # an answer about a dependency counts this long: health is asked often, and by many
_PATIENCE_SECONDS = 3.0
_REDIS_PATIENCE_SECONDS = 0.5  # shorter: no answer depends on Redis, and many who ask wait for a second only

router = APIRouter(tags=["Health"])

Reach = Literal["ok", "unreachable", "unused"]
Seen = TypeVar("Seen")


class _Look(Generic[Seen]):
    """One look at a dependency: shared by all who ask at the same time, and waited for no longer than its patience.

    `note` is told what was seen, unless a change has been made since the look began.
    """

    def __init__(
        self, look: Callable[[], Awaitable[Seen]], note: Callable[[Seen], None], *, patience_seconds: float
    ) -> None:
        self._look = look
        self._note = note
        self._patience_seconds = patience_seconds
        self._task: asyncio.Task[None] | None = None
        self._began = self._ended = float("-inf")

    async def is_known(self) -> bool:
        """Look where the last look is old; False where one takes too long, which goes on without anybody waiting."""
        now = time.monotonic()
        if now - self._ended < _LOOK_SECONDS:
            return True
        if self._task is None or self._task.done():
            self._began, self._task = now, asyncio.create_task(self._once(), name="health-look")
        mine = self._task
        done, _ = await asyncio.wait({mine}, timeout=max(0.0, self._began + self._patience_seconds - now))
        for look in done:
            look.result()  # what could not be foreseen is a failure of ours
        if done and self._task is not mine:
            return await self.is_known()  # it was forgotten meanwhile, and has noted nothing
        return bool(done)

    def forget(self) -> None:
        """Whoever asks next looks anew, and does not wait for a look that began before."""
        self._ended, self._task = float("-inf"), None

    async def _once(self) -> None:
        seen = await self._look()
        if self._task is asyncio.current_task():
            self._note(seen)
            self._ended = time.monotonic()


class Dependencies:
    """What the service leans on, looked at when somebody asks: a few times a second at most, and briefly."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._at_database = _Look(self._into_the_database, self._note_database, patience_seconds=_PATIENCE_SECONDS)
        self._at_redis = _Look(self._for_redis, self._note_redis, patience_seconds=_REDIS_PATIENCE_SECONDS)
        self.database: Reach = "unreachable"
        self.redis: Reach = "unused"
        self.mode: Mode | None = None
        self.drained = False  # the service as a whole, by an operator

    async def look(self) -> None:
        """Bring what is old up to date. Whichever is too slow is called unreachable, and only that one."""
        if not await self._at_database.is_known():
            self.database = "unreachable"
        elif not await self._at_redis.is_known():
            self.redis = "unreachable"

    def forget(self) -> None:
        """Look anew when somebody asks next: what was seen has just been changed here."""
        self._at_database.forget()
        self._at_redis.forget()

    async def _into_the_database(self) -> tuple[Mode | None, bool] | None:
        try:
            mode, state = await self.runtime.database.read(lambda one: (current_mode(one), read_state(one)))
        except DatabaseUnavailable:
            return None
        return mode, state.draining is not None

    def _note_database(self, seen: tuple[Mode | None, bool] | None) -> None:
        self.database = "ok" if seen else "unreachable"
        self.mode, self.drained = seen or (self.mode, self.drained)

    async def _for_redis(self) -> Reach:
        settings = self.runtime.settings
        if not (self.mode.enabled if self.mode else settings.worker_system_enabled):
            return "unused"
        return "ok" if await asyncio.to_thread(self.runtime.rq.ping) else "unreachable"

    def _note_redis(self, seen: Reach) -> None:
        self.redis = seen


@router.get("/livez", summary="Is this process alive?")
async def livez() -> Response:
    """200 as long as this process answers at all; it depends on nothing."""
    return _answer({"status": "ok"})


@router.get("/readyz", summary="Should this process get requests?")
async def readyz(request: Request) -> Response:
    """503 from the moment a drain begins, and where the database is not there. Redis being away is no reason."""
    found = await _found(request)
    status = _status(request, found)
    return _answer(_health(status, found), 503 if status in {"draining", "unavailable"} else 200)


@router.get("/health", summary="How is the service?", responses={200: {"model": HealthModel}})
async def health(request: Request) -> Response:
    """The state of the service and where its jobs go; 503 only where the database is not there."""
    found = await _found(request)
    status = _status(request, found)
    return _answer(_health(status, found), 503 if status == "unavailable" else 200)


def worker_system(runtime: Runtime, mode: Mode | None) -> dict[str, Any]:
    """Which backend jobs get. `enabled` says whether that is RQ."""
    if mode is None:  # nobody has said anything yet: what this process would say
        settings = runtime.settings
        enabled = settings.use_durable_worker and settings.worker_system_enabled
        return {"enabled": enabled, "type": "rq" if enabled else "background_tasks"}
    return {
        "enabled": mode.target == "rq",
        "type": mode.target,
        "source": mode.source,
        "since": rfc3339(mode.since),
        "reason": mode.reason,
    }


async def _found(request: Request) -> Dependencies:
    found: Dependencies = request.app.state.dependencies
    await found.look()
    return found


def _status(request: Request, found: Dependencies) -> str:
    drain: Drain = request.app.state.drain
    if drain.begun:
        return "draining"
    if found.database != "ok":
        return "unavailable"
    if found.drained:
        return "draining"
    wants_redis = worker_system(runtime_of(request), found.mode)["type"] == "rq"
    return "degraded" if wants_redis and found.redis != "ok" else "ok"


def _health(status: str, found: Dependencies) -> dict[str, Any]:
    return {
        "status": status,
        "worker_system": worker_system(found.runtime, found.mode),
        "database": found.database,
        "redis": found.redis,
        "version": VERSION,
    }


def _answer(content: Any, status: int = 200) -> Response:
    return JSONResponse(content, status, {"Cache-Control": "no-store"})
