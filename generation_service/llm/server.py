"""A language model behind any OpenAI-compatible server, read as a stream."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import httpx2

from generation_service.errors import PermanentError, TransientError
from generation_service.jobs.model import Usage
from generation_service.llm.connections import Connections
from generation_service.llm.faults import connection_fault, event_fault, status_fault
from generation_service.llm.model import ModelCall, Reply
from generation_service.settings import ResponseFormat

_DONE = "[DONE]"
_MOST_BYTES_A_LINE = 1024 * 1024
_END_SECONDS = 0.2  # how long the end of an answer is waited for after its last event


class ServerModel:
    """An OpenAI-compatible server; one instance serves all jobs of a process, from one event loop.

    Spoken to with an HTTP client alone: a call then costs less than half of what it costs through the library of
    OpenAI, and a worker 20 MB less. Nothing is tried again here: the job layer does that.
    """

    is_language_model = True

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        connect_timeout_seconds: float = 10.0,
        read_timeout_seconds: float = 120.0,
        response_format: ResponseFormat = "none",
    ) -> None:
        self.generator = model
        self._response_format = response_format
        # OpenAI's own server has renamed the limit; the compatible ones take the first name.
        self._limit = "max_completion_tokens" if "api.openai.com" in base_url else "max_tokens"
        self._url = httpx2.URL(base_url.rstrip("/") + "/chat/completions")
        self._headers = {"Authorization": f"Bearer {api_key or 'none'}", "Accept": "application/json"}
        self._timeout = httpx2.Timeout(read_timeout_seconds, connect=connect_timeout_seconds)
        self._certificates = httpx2.create_ssl_context()  # 20 ms and a megabyte: once, not for each client
        self._connections = Connections(self._client)

    @asynccontextmanager
    async def open(self, call: ModelCall) -> AsyncGenerator[Reply, None]:
        headers, request = _headers(call), self._request(call)
        with _translated(), self._connections.client() as client:
            async with client.stream("POST", self._url, headers=headers, json=request) as response:
                if not response.is_success:
                    raise status_fault(response.status_code, _error(await response.aread()), response.headers)
                reply = Reply(model=self.generator, prompt_tokens=call.prompt_tokens, pieces=_nothing())
                reply.pieces = _pieces(_events(response.aiter_bytes()), reply)
                yield reply

    async def aclose(self) -> None:
        await self._connections.aclose()

    def _client(self, limits: httpx2.Limits) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            headers=self._headers,
            timeout=self._timeout,
            limits=limits,
            verify=self._certificates,
            follow_redirects=True,
        )

    def _request(self, call: ModelCall) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.generator,
            "messages": [{"role": message.role, "content": message.content} for message in call.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            self._limit: call.max_output_tokens,
        }
        if call.structured and self._response_format == "json_object":
            request["response_format"] = {"type": "json_object"}
        return request


def _headers(call: ModelCall) -> Mapping[str, str]:
    return {
        "X-Job-Id": call.job_id,
        "X-Job-Step": call.step,
        "X-Job-Attempt": str(call.attempt),
        # One call a step: a try that follows a lost answer asks for the same thing again.
        "Idempotency-Key": f"{call.job_id}-{call.step}",
    }


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except httpx2.RequestError as error:
        raise connection_fault(error) from error


def _error(body: bytes) -> object:
    """What the body of an error status says of it: its `error`, else all of it; None where it is not JSON."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):  # the latter for what is nested too deep
        return None
    return told.get("error", told) if isinstance(told, dict) else told


async def _nothing() -> AsyncIterator[str]:
    return
    yield ""


async def _events(received: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The `data:` fields of an event stream; lines end at a line feed only, as JSON may hold other separators."""
    buffer = b""
    async for block in received:
        *lines, buffer = (buffer + block).split(b"\n")
        if len(buffer) > _MOST_BYTES_A_LINE:
            raise TransientError("provider_broken_stream", "the model's server sent a line without an end")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip().decode("utf-8", "replace")


async def _pieces(events: AsyncIterator[str], reply: Reply) -> AsyncIterator[str]:
    """The pieces of the text; usage and truncation are noted in `reply`.

    A stream counts as whole where it said a finish_reason or [DONE]: Ollama sends the second only.
    """
    whole = False
    async for event in events:
        if event == _DONE:
            await _read_to_the_end(events)
            return
        chunk = _chunk(event)
        if usage := chunk.get("usage"):
            reply.reported = _usage(usage, reply.model)
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            if delta.get("refusal") or choice.get("finish_reason") == "content_filter":
                raise PermanentError("content_policy", "the model refused to write this")
            whole = whole or choice.get("finish_reason") is not None
            reply.truncated = reply.truncated or choice.get("finish_reason") == "length"
            if isinstance(content := delta.get("content"), str):
                yield content
    if not whole:
        raise TransientError("provider_broken_stream", "the model's answer ended in the middle")


async def _read_to_the_end(events: AsyncIterator[str]) -> None:
    """Read what follows the last event, which says nothing: a connection is used again only after a whole answer."""
    with suppress(TimeoutError, TransientError, httpx2.RequestError):
        async with asyncio.timeout(_END_SECONDS):
            async for _ in events:
                pass


def _chunk(event: str) -> dict[str, Any]:
    try:
        chunk = json.loads(event)
    except (ValueError, RecursionError) as error:
        raise TransientError("provider_broken_stream", "the model's server sent what is not JSON") from error
    if not isinstance(chunk, dict):
        raise TransientError("provider_broken_stream", "the model's server sent what is not an event")
    if error_body := chunk.get("error"):
        raise event_fault(error_body)
    return chunk


def _usage(reported: Any, model: str) -> Usage:
    return Usage(
        input_tokens=int(reported.get("prompt_tokens") or 0),
        output_tokens=int(reported.get("completion_tokens") or 0),
        model=model,
    )
