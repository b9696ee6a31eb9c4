"""Around every request: its id, a bound on its body, HEAD, one log line, an answer even where our own code fails."""

import asyncio
import contextlib
import logging
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from generation_service.api.problems import internal_error
from generation_service.jobs.ids import uuid7
from generation_service.telemetry import AnswerTimes, log_context

_log = logging.getLogger(__name__)

_FIRST_ERROR = 400
_DISCARD_BYTES = 16 * 1024 * 1024
_DISCARD_SECONDS = 3.0

_UNSPOKEN = frozenset({"/health", "/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines: a line for each would bury the others."""

_OPERATORS = "/api/admin/"
_OURS = frozenset({b"x-request-id", b"x-content-type-options"})


class RequestMiddleware:
    """Gives each request an id (`X-Request-Id`, and in every log line), and turns a failure of ours into a problem."""

    def __init__(self, app: ASGIApp, *, answers: AnswerTimes) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand on what is not one."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        only_head = method == "HEAD"
        if only_head:  # it is answered as a GET is, without the body (RFC 9110, 9.3.2)
            scope = {**scope, "method": "GET"}
        body = _Body(scope, receive)
        answer = _Answer(send, uuid7(), body, only_head=only_head)
        began = time.monotonic()
        with log_context(request_id=answer.request_id):
            try:
                await self._app(scope, body.receive, answer.send)
            except ClientDisconnect:
                _log.info("A caller was gone before its request had arrived", extra={"action": "caller_gone"})
            except Exception:
                _log.exception("A request failed", extra={"action": "request_failed", "route": _route(scope)})
                if answer.status:
                    raise  # the head is out; all that is left is to cut the connection
                response = internal_error(Headers(scope=scope).get("accept-language"))
                await response(scope, body.receive, answer.send)
            finally:
                self._count(scope, answer, began)
                _report(scope, method, answer.status, time.monotonic() - began)

    def _count(self, scope: Scope, answer: "_Answer", began: float) -> None:
        """Count the time until the answer began, where the service was not asked to take its time.

        An operator's call may move thousands of jobs, and an event stream goes on for hours: neither says
        how long users wait.
        """
        told = scope["path"] in _UNSPOKEN or scope["path"].startswith(_OPERATORS)
        if answer.answered_at is not None and not told and not _has(scope, b"prefer"):
            self._answers.add(answer.answered_at - began)


def _has(scope: Scope, name: bytes) -> bool:
    """Whether a request has this header; ASGI has their names in lower case."""
    return any(given == name for given, _ in scope["headers"])


class _Body:
    """Passes a request's body on, and knows whether it has come to its end."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        # A caller that waits to be invited to send its body is not to be invited by reading it.
        self._ended = _has(scope, b"expect")

    async def receive(self) -> Message:
        message = await self._receive()
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def discard(self) -> None:
        """Read what is left, within bounds: a connection that is closed under a writer may lose its answer."""
        size = 0
        with contextlib.suppress(TimeoutError):  # patience was short on purpose
            async with asyncio.timeout(_DISCARD_SECONDS):
                while not self._ended and size < _DISCARD_BYTES:
                    size += len((await self.receive()).get("body", b""))


class _Answer:
    """Passes an answer on, adding its request id; remembers its status.

    With `only_head` the answer is complete once its head is out: of an event stream there would be no end.
    """

    def __init__(self, send: Send, request_id: str, body: _Body, *, only_head: bool) -> None:
        self._send = send
        self._body = body
        self._only_head = only_head
        self.request_id = request_id
        self.status = 0
        self.answered_at: float | None = None  # monotonic: when its head went out

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.answered_at = time.monotonic()
            message["headers"] = [
                *(pair for pair in message.get("headers", ()) if pair[0].lower() not in _OURS),
                (b"x-request-id", self.request_id.encode()),
                (b"x-content-type-options", b"nosniff"),
            ]
            if self.status >= _FIRST_ERROR:
                await self._body.discard()
            await self._send(message)
            if self._only_head:
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        elif not self._only_head:
            await self._send(message)


def _report(scope: Scope, method: str, status: int, seconds: float) -> None:
    if scope["path"] in _UNSPOKEN:
        return
    route = _route(scope)
    extra: dict[str, Any] = {"action": "request", "method": method, "route": route, "status": status}
    _log.info("%s %s %d", method, route, status, extra={**extra, "seconds": round(seconds, 3)})


def _route(scope: Scope) -> str:
    """The route's template: a path may hold what its caller would not want in a log."""
    return str(getattr(scope.get("route"), "path", "(no route)"))
