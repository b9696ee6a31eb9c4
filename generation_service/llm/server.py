"""A language model behind any OpenAI-compatible server, read as a stream."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2
import openai

from generation_service.errors import PermanentError, TransientError
from generation_service.jobs.model import Usage
from generation_service.llm.faults import connection_fault, event_fault, status_fault
from generation_service.llm.model import ModelCall, Reply
from generation_service.settings import ResponseFormat

_DONE = "[DONE]"
_MOST_BYTES_A_LINE = 1024 * 1024
_IDLE_CONNECTIONS = 200


class ServerModel:
    """An OpenAI-compatible server; one instance serves all jobs of a process, from one event loop.

    The library's own retries are off: the job layer retries. Calls at once are bounded by the jobs
    at once, so the connection pool has no bound of its own.
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
        timeout = httpx2.Timeout(read_timeout_seconds, connect=connect_timeout_seconds)
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=_IDLE_CONNECTIONS)
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or "none",
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultAsyncHttpxClient(timeout=timeout, limits=limits),
        )

    @asynccontextmanager
    async def open(self, call: ModelCall) -> AsyncGenerator[Reply, None]:
        with _translated():
            async with self._client.chat.completions.with_streaming_response.create(**self._request(call)) as response:
                reply = Reply(model=self.generator, prompt_tokens=call.prompt_tokens, pieces=_nothing())
                reply.pieces = _pieces(_events(response.iter_bytes()), reply)
                yield reply

    async def aclose(self) -> None:
        await self._client.close()

    def _request(self, call: ModelCall) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.generator,
            "messages": [{"role": message.role, "content": message.content} for message in call.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            self._limit: call.max_output_tokens,
            "extra_headers": {
                "X-Job-Id": call.job_id,
                "X-Job-Step": call.step,
                "X-Job-Attempt": str(call.attempt),
                # One call a step: a try that follows a lost answer asks for the same thing again.
                "Idempotency-Key": f"{call.job_id}-{call.step}",
            },
        }
        if call.structured and self._response_format == "json_object":
            request["response_format"] = {"type": "json_object"}
        return request


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except openai.APIStatusError as error:
        raise status_fault(error.status_code, error.body, error.response.headers) from error
    except (openai.APIConnectionError, httpx2.TransportError) as error:
        raise connection_fault(error) from error


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
            whole = True
            break
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


def _chunk(event: str) -> dict[str, Any]:
    try:
        chunk = json.loads(event)
    except ValueError as error:
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
