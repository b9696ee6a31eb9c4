"""The object store: uploaded files and artefacts by key, on local disk, S3, or in memory for tests."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, MemoryStore, S3Store

from generation_service.errors import ConfigurationError, Deferred, PermanentError, ServiceError, TransientError
from generation_service.objects.streams import Counted, small_or_streamed
from generation_service.settings import say_of_setting

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig  # there for type checkers only

_PART_BYTES = 5 * 1024 * 1024  # S3 takes no smaller parts
_PARTS_AT_ONCE = 3  # times _PART_BYTES is what one upload may hold in memory
# The library's own default is ten tries in three minutes; a job has tries of its own.
_S3_RETRIES: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
# A part may take its time, a whole large object too; silence may not. With the tries: half a minute at the longest.
_S3_SILENCE_SECONDS = 10.0
_S3_REQUEST_SECONDS = 600.0
_ABANDON_SECONDS = 5.0  # for a store to remove what it has of an upload that was given up


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
    Deferred `storage_refused` where it does not accept our credentials: those may be mended.
    """

    def __init__(self, store: LocalStore | MemoryStore | S3Store, *, root: Path | None = None, url: str = "") -> None:
        self._store = store
        self._root = root  # of a local store
        self._url = url.rstrip("/")  # of a store elsewhere

    @classmethod
    def open(
        cls, url: str, *, endpoint_url: str | None = None, silence_seconds: float = _S3_SILENCE_SECONDS
    ) -> "ObjectStore":
        """Open `s3://bucket/prefix`, `file:///absolute/path` or a path; a local folder is created.

        S3 credentials come from where S3 tools look for them; a try ends when nothing has come for `silence_seconds`.
        Raises ConfigurationError.
        """
        parts = urlsplit(url)
        if parts.scheme == "s3":
            return cls(_s3(url, endpoint_url, silence_seconds), url=url)
        if parts.scheme not in {"", "file"} or parts.netloc or not parts.path:
            raise ConfigurationError(f"STORAGE_URL: {say_of_setting('takes.storage_url')}")
        root = Path(unquote(parts.path) if parts.scheme else url).absolute()
        try:
            return cls(LocalStore(root, mkdir=True), root=root)
        except (BaseError, OSError) as error:
            raise ConfigurationError(say_of_setting("storage_folder", path=root)) from error

    @classmethod
    def in_memory(cls) -> "ObjectStore":
        """A store that lives as long as this object: for tests."""
        return cls(MemoryStore())

    async def put(self, key: str, chunks: AsyncIterator[bytes], limit: int | None = None) -> Stored:
        """Store `chunks` under `key` in one piece or not at all; durable when this returns.

        At most a few parts are in memory at once. What `chunks` raises passes through, and then, as after
        a cancellation, nothing is stored. Raises ObjectTooLarge beyond `limit` bytes.
        """
        counted = Counted(chunks, limit)
        with _translated(key):
            content = await small_or_streamed(counted.run(), _PART_BYTES)
            await self._put(key, content, counted)
            if self._root is not None:
                await asyncio.to_thread(_sync_to_disk, self._root / key, self._root)
        return Stored(size=counted.size, sha256=counted.digest.hexdigest())

    async def _put(self, key: str, content: bytes | AsyncIterator[bytes], counted: Counted) -> None:
        putting = asyncio.ensure_future(
            self._store.put_async(key, content, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)
        )
        try:
            await asyncio.shield(putting)
        except asyncio.CancelledError:
            # Cancelled itself, the library would leave the parts that a store elsewhere already has there for ever;
            # a stream that fails makes it remove them.
            counted.abandon()
            done, _ = await asyncio.wait({putting}, timeout=_ABANDON_SECONDS)
            if not done:
                putting.cancel()
            elif putting.exception() is None:  # it came too late: nobody will ever know of this object
                with contextlib.suppress(ServiceError):
                    await self.delete(key)
            raise

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
        """Remove every object below the folder `prefix`, and the folder; how many there were."""
        found = [key async for key in self.keys(prefix)]
        with _translated(prefix):
            if self._root is not None:
                await asyncio.to_thread(_remove_folder, self._root / prefix, self._root)
            elif found:
                await self._store.delete_async(found)  # in few requests
        return len(found)

    def place(self, key: str) -> str:
        """Where an object is, for people: an `s3://` URL, or its key alone, since a local path is nobody's business."""
        return f"{self._url}/{key}" if self._url else key

    async def delete(self, key: str) -> None:
        """Remove the object; one that is not there is fine."""
        with _translated(key), contextlib.suppress(FileNotFoundError):
            await self._store.delete_async(key)
            if self._root is not None:
                await asyncio.to_thread(_remove_if_empty, (self._root / key).parent, self._root)


def _s3(url: str, endpoint_url: str | None, silence_seconds: float) -> S3Store:
    # A server of one's own is addressed by path, and may speak plain HTTP inside its network.
    options: ClientConfig = {
        "read_timeout": timedelta(seconds=silence_seconds),
        "timeout": timedelta(seconds=_S3_REQUEST_SECONDS),
    }
    try:
        if endpoint_url is None:
            return S3Store.from_url(url, client_options=options, retry_config=_S3_RETRIES)
        return S3Store.from_url(
            url,
            endpoint=endpoint_url,
            virtual_hosted_style_request=False,
            client_options={**options, "allow_http": endpoint_url.startswith("http://")},
            retry_config=_S3_RETRIES,
        )
    except (BaseError, ValueError) as error:
        raise ConfigurationError(say_of_setting("storage_s3")) from error


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except ServiceError:
        raise
    except FileNotFoundError as error:
        raise ObjectMissing(key) from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise Deferred("storage_refused", "the object store does not accept our credentials") from error
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


def _remove_folder(folder: Path, root: Path) -> None:
    """Remove what is left below `folder` too: the beginnings of uploads whose process was killed."""
    if root not in folder.parents:
        raise ValueError("only a folder inside the store can be removed")
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
    _remove_if_empty(folder.parent, root)


def _remove_if_empty(folder: Path, root: Path) -> None:
    """Remove `folder` and those around it that hold nothing any more; a put that wants one makes it anew."""
    with contextlib.suppress(OSError):  # not empty, or removed by somebody else
        while root in folder.parents:
            folder.rmdir()
            folder = folder.parent
