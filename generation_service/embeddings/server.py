"""Embeddings from any server with `/embeddings`, whose address comes from the settings alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx2

from generation_service.embeddings.answers import connection_fault, status_fault, vectors_of
from generation_service.embeddings.model import Spend, Vector
from generation_service.errors import TransientError

_LONGEST_TEXT = 4_000  # characters; chunks are far shorter, and a model's window is bounded
_BYTES_A_TEXT = 256 * 1024  # of an answer: room for 10,000 numbers


class EmbeddingServer:
    """POST {base}/embeddings in batches; one for each process, so that its bound on calls holds for all of it."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        batch: int = 32,
        concurrency: int = 4,
        timeout_seconds: float = 30.0,
    ) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        # No redirects: an answer must not choose where texts and the key go next.
        self._client = httpx2.AsyncClient(timeout=timeout_seconds, follow_redirects=False, headers=headers)
        self._url = base_url.rstrip("/") + "/embeddings"
        self._model = model
        self._batch = batch
        self._timeout_seconds = timeout_seconds
        self._calls = asyncio.Semaphore(concurrency)
        # One call is kept free for whoever waits at a search, where there is more than one.
        self._patient_calls = asyncio.Semaphore(max(1, concurrency - 1))
        self.at_once = batch * max(1, concurrency - 1)

    @property
    def model(self) -> str:
        return self._model

    async def embed(
        self, texts: Sequence[str], *, spend: Spend, model: str | None = None, urgent: bool = False
    ) -> list[Vector]:
        asked = [_sendable(text) for text in texts]
        batches = [asked[start : start + self._batch] for start in range(0, len(asked), self._batch)]
        try:
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(self._one(batch, spend, model or self._model, urgent)) for batch in batches]
        except BaseExceptionGroup as failed:  # the first one cancelled the others
            raise failed.exceptions[0] from failed
        return [vector for call in calls for vector in call.result()]

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _one(self, texts: Sequence[str], spend: Spend, model: str, urgent: bool) -> list[Vector]:  # noqa: FBT001 - private
        async with self._turn(urgent=urgent):
            body = await self._answer({"model": model, "input": list(texts)}, len(texts) * _BYTES_A_TEXT)
        vectors, usage = await asyncio.to_thread(vectors_of, body, texts, model)
        spend(usage)
        return vectors

    @asynccontextmanager
    async def _turn(self, *, urgent: bool) -> AsyncIterator[None]:
        async with contextlib.nullcontext() if urgent else self._patient_calls, self._calls:
            yield

    async def _answer(self, question: dict[str, object], most_bytes: int) -> bytes:
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),  # of the whole: a server may drip without end
                self._client.stream("POST", self._url, json=question) as response,
            ):
                if response.status_code != httpx2.codes.OK:
                    raise status_fault(response.status_code, response.headers)
                return await _capped(response, most_bytes)
        except (httpx2.RequestError, TimeoutError) as error:
            raise connection_fault(error) from error


def _sendable(text: str) -> str:
    # Halves of surrogate pairs cannot be sent, and an empty text is refused by most servers.
    return text[:_LONGEST_TEXT].encode("utf-8", "replace").decode("utf-8") or " "


async def _capped(response: httpx2.Response, most_bytes: int) -> bytes:
    body = bytearray()
    async for block in response.aiter_bytes():
        body += block
        if len(body) > most_bytes:
            raise TransientError("embedding_unreadable", "the embedding server's answer is too large")
    return bytes(body)
