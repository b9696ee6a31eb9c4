"""The object store: uploaded files and artefacts by key, on local disk, S3, or in memory for tests."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, MemoryStore, S3Store

from generation_service.errors import ConfigurationError, PermanentError, ServiceError, TransientError

if TYPE_CHECKING:
    from obstore.store import RetryConfig  # there for type checkers only

_PART_BYTES = 5 * 1024 * 1024  # S3 takes no smaller parts
_PARTS_AT_ONCE = 3  # times _PART_BYTES is what one upload may hold in memory
# The library's own default is ten tries in three minutes; a job has tries of its own.
_S3_RETRIES: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}


class ObjectTooLarge(PermanentError):
    """The chunks given to `put` were more than its limit; nothing was stored."""

    def __init__(self, limit: int) -> None:
        super().__init__("too_large", f"an object is larger than {limit} bytes")
        self.limit = limit


class ObjectMissing(PermanentError):
    """There is no object under this key."""

    def __init__(self, key: str) -> None:
        super().__init__("object_missing", f"the object store holds nothing under {key}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What `put` has stored: its size in bytes and the SHA-256 of its content, hexadecimal."""

    size: int
    sha256: str


class ObjectStore:
    """Bytes under keys that this service makes; a person's file name never reaches a key.

    Every method raises TransientError `storage_unavailable` where the store does not answer, and
    PermanentError `storage_refused` where it does not accept our credentials.
    """

    def __init__(self, store: LocalStore | MemoryStore | S3Store, *, root: Path | None = None, url: str = "") -> None:
        self._store = store
        self._root = root  # of a local store
        self._url = url.rstrip("/")  # of a store elsewhere

    @classmethod
    def open(cls, url: str, *, endpoint_url: str | None = None) -> "ObjectStore":
        """Open `s3://bucket/prefix`, `file:///absolute/path` or a path; a local folder is created.

        S3 credentials come from where S3 tools look for them. Raises ConfigurationError.
        """
        parts = urlsplit(url)
        if parts.scheme == "s3":
            return cls(_s3(url, endpoint_url), url=url)
        if parts.scheme not in {"", "file"} or parts.netloc or not parts.path:
            raise ConfigurationError("STORAGE_URL: takes a path, file:///absolute/path or s3://bucket/prefix")
        root = Path(unquote(parts.path) if parts.scheme else url).absolute()
        try:
            return cls(LocalStore(root, mkdir=True), root=root)
        except (BaseError, OSError) as error:
            raise ConfigurationError(f"STORAGE_URL: the folder {root} cannot be created or opened") from error

    @classmethod
    def in_memory(cls) -> "ObjectStore":
        """A store that lives as long as this object: for tests."""
        return cls(MemoryStore())

    async def put(self, key: str, chunks: AsyncIterator[bytes], limit: int | None = None) -> Stored:
        """Store `chunks` under `key` in one piece or not at all; durable when this returns.

        At most a few parts are in memory at once. What `chunks` raises passes through, and then
        nothing is stored. Raises ObjectTooLarge beyond `limit` bytes.
        """
        counted = _Counted(chunks, limit)
        with _translated(key):
            await self._store.put_async(key, counted.run(), chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)
            if self._root is not None:
                await asyncio.to_thread(_sync_to_disk, self._root / key, self._root)
        return Stored(size=counted.size, sha256=counted.digest.hexdigest())

    async def put_bytes(self, key: str, content: bytes) -> Stored:
        """Store `content` under `key`; durable when this returns."""

        async def once() -> AsyncIterator[bytes]:
            yield content

        return await self.put(key, once())

    async def read(self, key: str) -> bytes:
        """The whole object. Raises ObjectMissing."""
        with _translated(key):
            return bytes(await (await self._store.get_async(key)).bytes_async())

    async def download(self, key: str, path: Path) -> None:
        """Write the object to a new file at `path`, piece by piece. Raises ObjectMissing."""
        with _translated(key):
            found = await self._store.get_async(key)
            target = await asyncio.to_thread(path.open, "xb")
            try:
                async for piece in found.stream(min_chunk_size=_PART_BYTES):
                    await asyncio.to_thread(target.write, piece)
            finally:
                target.close()

    async def exists(self, key: str) -> bool:
        """Whether there is an object under `key`."""
        with _translated(key):
            try:
                await self._store.head_async(key)
            except FileNotFoundError:
                return False
            return True

    async def keys(self, prefix: str = "") -> AsyncIterator[str]:
        """The keys of all objects below the folder `prefix`, in no order."""
        with _translated(prefix):
            async for batch in self._store.list(prefix or None):
                for found in batch:
                    yield str(found["path"])

    async def delete_below(self, prefix: str) -> int:
        """Remove every object below the folder `prefix`; how many there were."""
        found = [key async for key in self.keys(prefix)]
        for key in found:
            await self.delete(key)
        return len(found)

    def place(self, key: str) -> str:
        """Where an object is, for people: an `s3://` URL, or its key alone, since a local path is nobody's business."""
        return f"{self._url}/{key}" if self._url else key

    async def delete(self, key: str) -> None:
        """Remove the object; one that is not there is fine."""
        with _translated(key):
            try:
                await self._store.delete_async(key)
            except FileNotFoundError:
                return


class _Counted:
    """Passes chunks on while it counts and hashes them."""

    def __init__(self, chunks: AsyncIterator[bytes], limit: int | None) -> None:
        self._chunks = chunks
        self._limit = limit
        self.size = 0
        self.digest = hashlib.sha256()

    async def run(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self.size += len(chunk)
            if self._limit is not None and self.size > self._limit:
                raise ObjectTooLarge(self._limit)
            self.digest.update(chunk)
            if chunk:
                yield chunk


def _s3(url: str, endpoint_url: str | None) -> S3Store:
    # A server of one's own is addressed by path, and may speak plain HTTP inside its network.
    try:
        if endpoint_url is None:
            return S3Store.from_url(url, retry_config=_S3_RETRIES)
        return S3Store.from_url(
            url,
            endpoint=endpoint_url,
            virtual_hosted_style_request=False,
            client_options={"allow_http": endpoint_url.startswith("http://")},
            retry_config=_S3_RETRIES,
        )
    except (BaseError, ValueError) as error:
        raise ConfigurationError("STORAGE_URL: takes s3://bucket/prefix, with S3_ENDPOINT_URL a URL") from error


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except ServiceError:
        raise
    except FileNotFoundError as error:
        raise ObjectMissing(key) from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise PermanentError("storage_refused", "the object store does not accept our credentials") from error
    except (BaseError, OSError) as error:
        raise TransientError("storage_unavailable", f"the object store failed: {type(error).__name__}") from error


def _sync_to_disk(path: Path, root: Path) -> None:
    """Make a file that was written and renamed survive a loss of power: its bytes, then each folder's entry."""
    for place in (path, *(folder for folder in path.parents if folder == root or root in folder.parents), root.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
