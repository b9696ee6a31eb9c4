"""A tiny application for the supervisor to serve: says which process answers, streams until told to drain, restarts.

Its start can be broken from outside: BROKEN_START names a file whose presence makes a start fail.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from generation_service.errors import ConfigurationError
from generation_service.switching.supervision import supervision


def application() -> Starlette:
    if Path(os.environ.get("BROKEN_START", "/nowhere")).exists():
        raise ConfigurationError("BROKEN: this start was broken on purpose")
    routes = [Route("/pid", _pid), Route("/stream", _stream), Route("/restart/{id}", _restart), Route("/words", _words)]
    return Starlette(routes=routes, lifespan=_lifespan)


@asynccontextmanager
async def _lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
    draining = asyncio.Event()
    yield {"draining": draining, "begin_drain": draining.set}


async def _pid(_request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(os.getpid()))


async def _restart(request: Request) -> PlainTextResponse:
    """Ask the supervisor for a restart under this id, and again at once."""
    keeper = supervision()
    assert keeper
    for _ in range(2):
        keeper.ask(request.path_params["id"])
    return PlainTextResponse(str(keeper.identity))


async def _words(_request: Request) -> PlainTextResponse:
    """What the supervisor has said to this process."""
    keeper = supervision()
    assert keeper
    return PlainTextResponse("".join(f"{word.restart_id} {word.outcome} {word.detail}\n" for word in keeper.words()))


async def _stream(request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        yield f"{os.getpid()}\n"
        await request.state.draining.wait()
        yield "farewell\n"

    return StreamingResponse(pieces(), media_type="text/plain")
