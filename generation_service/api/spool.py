"""A spool: one uploaded file on its way, in memory while it is small and on disk beyond that."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import IO

from generation_service.settings import MIB

CHUNK_BYTES = MIB


class Spool:
    """Holds one file at a time, of which it keeps no more than `most_bytes` and one.

    The one more is what lets whoever stores it see that it is too large. `size` counts what was dropped, too.
    """

    def __init__(self, file: IO[bytes], most_bytes: int) -> None:
        self._file = file
        self._most_bytes = most_bytes
        self._pending = bytearray()
        self._written = 0
        self.size = 0

    @property
    def over(self) -> bool:
        """Whether the file is larger than may be."""
        return self.size > self._most_bytes

    async def begin(self) -> None:
        """Forget what is held and take another file."""
        if self._written:
            await asyncio.to_thread(self._empty)
        self._pending = bytearray()
        self._written = self.size = 0

    async def add(self, content: bytes) -> None:
        """Take the next bytes."""
        room = self._most_bytes + 1 - min(self.size, self._most_bytes + 1)
        self.size += len(content)
        self._pending += content[:room]
        if len(self._pending) >= CHUNK_BYTES:
            await self._write()

    async def chunks(self) -> AsyncIterator[bytes]:
        """What is held, from its beginning, a mebibyte at a time."""
        if not self._written:
            if self._pending:
                yield bytes(self._pending)
            return
        await self._write()
        await asyncio.to_thread(self._file.seek, 0)
        while chunk := await asyncio.to_thread(self._file.read, CHUNK_BYTES):
            yield chunk

    async def _write(self) -> None:
        taken, self._pending = self._pending, bytearray()
        self._written += len(taken)
        await asyncio.to_thread(self._file.write, taken)

    def _empty(self) -> None:
        self._file.seek(0)
        self._file.truncate()


@contextmanager
def opened_spool(most_bytes: int) -> Iterator[Spool]:
    """A spool whose file is gone when the context ends."""
    with tempfile.TemporaryFile() as file:
        yield Spool(file, most_bytes)
