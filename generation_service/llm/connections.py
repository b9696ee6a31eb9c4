"""Connections to one server: as many as there are calls at once, kept open for later calls."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2

CALLS_A_CLIENT = 8
"""A client's pool looks at each of its connections when a call begins and when it ends, so none may grow large."""

IDLE_SECONDS = 1.0
"""An idle connection is used this long, for a job's next step: servers close theirs after 2 s (gunicorn) or
5 s (uvicorn, Node), and a call that is sent at that moment is lost."""


class Connections:
    """HTTP clients that share the calls of a process, each made by `make_client` when the others are full.

    The first client with room takes a call, so that few calls keep to few connections. Calls have no bound here:
    jobs at once have theirs.
    """

    def __init__(self, make_client: Callable[[httpx2.Limits], httpx2.AsyncClient]) -> None:
        self._make_client = make_client
        self._places: list[_Place] = []

    @contextmanager
    def client(self) -> Iterator[httpx2.AsyncClient]:
        """The client that one call is to use, for as long as the context lasts."""
        place = next((one for one in self._places if one.calls < CALLS_A_CLIENT), None) or self._another()
        place.calls += 1
        try:
            yield place.client
        finally:
            place.calls -= 1

    async def aclose(self) -> None:
        """Close every connection; no client may be asked for afterwards."""
        while self._places:
            await self._places.pop().client.aclose()

    def _another(self) -> "_Place":
        limits = httpx2.Limits(
            max_connections=None, max_keepalive_connections=CALLS_A_CLIENT, keepalive_expiry=IDLE_SECONDS
        )
        place = _Place(self._make_client(limits))
        self._places.append(place)
        return place


@dataclass(slots=True)
class _Place:
    client: httpx2.AsyncClient
    calls: int = 0
