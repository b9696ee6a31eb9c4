"""A uvicorn server that tells its application when it is asked to end, while streams can still end in peace."""

import asyncio
import contextlib
from collections.abc import Callable
from socket import socket
from types import FrameType

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.server import Server

# After it has stopped listening, a process still reads from connections it had accepted this long: their
# requests may be on the way, and closing under them would look like a refusal. Whoever is answered meanwhile
# is told to come back over another connection, so that what is closed then are those that nobody uses.
_LAST_REQUESTS_SECONDS = 1.0

_TICK_SECONDS = 1.0  # so often the Date of answers is renewed
_RENEW_DATE = 0  # the count of a tick at which uvicorn does that


class DrainingServer(Server):
    """The lifespan state of the application may hold `begin_drain`, a function without arguments.

    It is called on the event loop as soon as the signal comes, and perhaps once more. The lifespan's own
    end cannot do this: it runs only once all connections are closed, open event streams included.
    """

    def __init__(self, config: Config) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()  # that it should exit
        super().__init__(config)

    @property
    def should_exit(self) -> bool:
        """Whether it is asked to end; may be set from any thread, and in a signal's handler."""
        return self._should_exit

    @should_exit.setter
    def should_exit(self, asked: bool) -> None:
        self._should_exit = asked
        if asked and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended
                self._loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        """As uvicorn's, which looks ten times a second whether it should exit: here it is told."""
        while not await self.on_tick(_RENEW_DATE):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), _TICK_SECONDS)

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start the application, then listen."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the drain at the signal itself; `shutdown` follows at once."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin_drain)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stop listening, answer what was accepted, let streams end, then end the application."""
        self._begin_drain()
        await asyncio.sleep(_LAST_REQUESTS_SECONDS)
        await super().shutdown(sockets)

    def _begin_drain(self) -> None:
        if CLOSE_HEADER in self.config.encoded_headers:
            return
        # First: a reader whose stream ends comes back at once, and should meet the successor.
        self._stop_accepting()
        # In both places: uvicorn copies the one to the other about once a second.
        self.config.encoded_headers = [*self.config.encoded_headers, CLOSE_HEADER]
        self.server_state.default_headers = [*self.server_state.default_headers, CLOSE_HEADER]
        begin: Callable[[], None] | None = self.lifespan.state.get("begin_drain")
        if begin is not None:
            begin()

    def _stop_accepting(self) -> None:
        """Accept nothing from now on, and close what listens once those just accepted belong to it.

        A connection gets its transport one iteration of the event loop after it was accepted, and is dropped
        where its server is closed by then: so the closing waits for two of them.
        """
        loop = asyncio.get_running_loop()
        for server in getattr(self, "servers", ()):
            for listener in server.sockets:
                loop.remove_reader(listener.fileno())
            loop.call_soon(loop.call_soon, server.close)
