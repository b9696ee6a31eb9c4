"""Routes that are asked for more than all others: the request goes straight to the endpoint."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response


class DirectRoute(APIRoute):
    """A route whose endpoint takes the request, nothing else, and reads from it what it needs.

    It is documented as any other. What FastAPI does between the two (it looks for a body, parameters and
    dependencies, and has few to find) took a fifth of the event loop's time of an accepted job, as profiled.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint itself: FastAPI's own way to put something else around it."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint
