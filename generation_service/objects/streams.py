"""Chunks on their way into a store: counted, hashed, limited, and given up on demand."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

from generation_service.errors import PermanentError


class ObjectTooLarge(PermanentError):
    """The chunks given to `put` were more than its limit; nothing was stored."""

    def __init__(self, limit: int) -> None:
        super().__init__("too_large", f"an object is larger than {limit} bytes")
        self.limit = limit


class Abandoned(Exception):
    """Nobody wants what is being stored any more; the store removes what it has of it."""


class Counted:
    """Passes chunks on while it counts and hashes them. Raises ObjectTooLarge, and Abandoned after `abandon`."""

    def __init__(self, chunks: AsyncIterator[bytes], limit: int | None) -> None:
        self._chunks = chunks
        self._limit = limit
        self._coming: asyncio.Future[bytes] | None = None
        self._abandoned = False
        self.size = 0
        self.digest = hashlib.sha256()

    async def run(self) -> AsyncIterator[bytes]:
        while True:
            try:
                chunk = await self._next()
            except StopAsyncIteration:
                return
            self.size += len(chunk)
            if self._limit is not None and self.size > self._limit:
                raise ObjectTooLarge(self._limit)
            self.digest.update(chunk)
            if chunk:
                yield chunk

    def abandon(self) -> None:
        """Fail from now on, and at once where a chunk is being waited for: on the event loop only."""
        self._abandoned = True
        if self._coming is not None:
            self._coming.cancel()

    async def _next(self) -> bytes:
        if self._abandoned:
            raise Abandoned
        # Of its own, so that it can be cancelled while a library waits for it.
        self._coming = asyncio.ensure_future(anext(self._chunks))
        try:
            return await self._coming
        except asyncio.CancelledError:
            self._coming.cancel()
            if self._abandoned:
                raise Abandoned from None
            raise


async def small_or_streamed(chunks: AsyncIterator[bytes], most: int) -> bytes | AsyncIterator[bytes]:
    """All of it, where that is `most` bytes or fewer, else the same chunks: what is small is stored in one request."""
    begun: list[bytes] = []
    size = 0
    async for chunk in chunks:
        begun.append(chunk)
        size += len(chunk)
        if size > most:
            return _chained(begun, chunks)
    return b"".join(begun)


async def _chained(begun: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while begun:
        yield begun.pop(0)
    async for chunk in rest:
        yield chunk
