"""Objects on S3: a real server of the protocol, large ones in parts, and every way in which it may refuse."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from generation_service.errors import Deferred, ServiceError, TransientError
from generation_service.objects import ObjectMissing, ObjectStore, ObjectTooLarge
from tests.documents import files
from tests.support.s3 import S3, Way, s3_server

LARGE = bytes(range(256)) * 98_304  # 24 MiB: five parts
KEY = "projects/책방/documents/1/source #1"

Operation = Callable[[ObjectStore], Awaitable[object]]


async def listed(objects: ObjectStore) -> list[str]:
    return sorted([key async for key in objects.keys("")])


OPERATIONS: dict[str, Operation] = {
    "put": lambda objects: objects.put_bytes(KEY, b"x"),
    "put in parts": lambda objects: objects.put(KEY, files.chunks_of(LARGE)),
    "read": lambda objects: objects.read(KEY),
    "download": lambda objects: objects.download(KEY, Path("/nonexistent")),
    "exists": lambda objects: objects.exists(KEY),
    "keys": listed,
    "delete": lambda objects: objects.delete(KEY),
    "delete below": lambda objects: objects.delete_below("projects"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3_server() as s3:
        yield s3


@pytest.fixture
def s3(server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    s3 = server.another()
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    yield s3
    s3.allow()


@pytest.fixture
def objects(s3: S3) -> ObjectStore:
    return ObjectStore.open(s3.url, endpoint_url=s3.endpoint_url)


async def test_a_large_object_goes_in_parts_and_comes_back_whole(s3: S3, objects: ObjectStore, tmp_path: Path) -> None:
    begun = len(s3.requests())
    stored = await objects.put(KEY, files.chunks_of(LARGE))
    await objects.download(KEY, tmp_path / "copy")

    assert (stored.size, stored.sha256) == (len(LARGE), hashlib.sha256(LARGE).hexdigest())
    assert (tmp_path / "copy").read_bytes() == LARGE == await objects.read(KEY)
    assert sum("partNumber=" in path for _, path in s3.requests("PUT")[begun:]) == 5
    assert s3.open_uploads() == []


async def test_a_small_object_is_one_request(s3: S3, objects: ObjectStore) -> None:
    begun = len(s3.requests())
    await objects.put_bytes("a", b"x")

    assert s3.requests()[begun:] == [("PUT", f"/{s3.bucket}/{s3.prefix}/a")]


async def test_objects_are_there_listed_and_deleted_by_folder(s3: S3, objects: ObjectStore) -> None:
    for key in ("a/1/x", "a/1/y", "a/10/x", KEY):
        await objects.put_bytes(key, key.encode())

    assert await listed(objects) == s3.keys() == sorted(["a/1/x", "a/1/y", "a/10/x", KEY])
    assert await objects.delete_below("a/1") == 2
    assert await objects.delete_below("a/1") == 0
    assert (await objects.exists("a/10/x"), await objects.exists("a/1/x")) == (True, False)
    await objects.delete(KEY)
    await objects.delete(KEY)
    assert s3.keys() == ["a/10/x"]
    assert objects.place("a/10/x") == f"{s3.url}/a/10/x"


async def test_more_objects_than_a_page_holds_are_listed_and_deleted(s3: S3, objects: ObjectStore) -> None:
    for begin in range(0, 1_001, 16):  # as many at once as the server has room for
        numbers = range(begin, min(begin + 16, 1_001))
        await asyncio.gather(*(objects.put_bytes(f"many/{number}", b"") for number in numbers))

    assert len(await listed(objects)) == 1_001
    assert await objects.delete_below("many") == 1_001
    assert s3.keys() == []


async def test_an_object_that_is_not_there_is_missing(s3: S3, objects: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(ObjectMissing):
        await objects.read("nowhere")
    with pytest.raises(ObjectMissing):
        await objects.download("nowhere", tmp_path / "copy")

    assert not (tmp_path / "copy").exists()


async def failure(operation: Operation, objects: ObjectStore) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await operation(objects)
    return caught.value


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("way", ["slow_down", "cut"])
async def test_a_store_that_refuses_for_a_while_is_transient_and_works_afterwards(
    s3: S3, objects: ObjectStore, way: Way, name: str, tmp_path: Path
) -> None:
    await objects.put_bytes(KEY, b"before")
    s3.refuse(way=way)
    error = await failure(OPERATIONS[name], objects)
    s3.allow()

    assert isinstance(error, TransientError)
    assert error.code == "storage_unavailable"
    assert "127.0.0.1" not in error.message
    assert await objects.read(KEY) == b"before"


async def test_a_refusal_that_passes_within_the_tries_of_one_request_is_not_noticed(
    s3: S3, objects: ObjectStore
) -> None:
    fault = s3.refuse("partNumber=", times=1)

    assert (await objects.put(KEY, files.chunks_of(LARGE))).size == len(LARGE)
    assert len(fault.keys) == 1


async def test_a_fault_meets_the_first_so_many_keys_until_it_is_lifted(s3: S3, objects: ObjectStore) -> None:
    for key in "abc":
        await objects.put_bytes(key, key.encode())
    fault = s3.refuse(method="GET", keys=2)
    for key in "ab":
        assert isinstance(await failure(lambda store, key=key: store.read(key), objects), TransientError)

    assert await objects.read("c") == b"c"
    assert fault.keys == [f"/{s3.bucket}/{s3.prefix}/{key}" for key in "ab"]
    fault.lift()
    assert await objects.read("a") == b"a"


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_store_that_says_nothing_is_waited_for_no_longer_than_its_tries(s3: S3, name: str) -> None:
    objects = ObjectStore.open(s3.url, endpoint_url=s3.endpoint_url, silence_seconds=0.3)
    s3.refuse(way="hang")
    begun = time.monotonic()
    error = await failure(OPERATIONS[name], objects)

    assert isinstance(error, TransientError)
    assert time.monotonic() - begun < 10  # four tries of a third of a second, and their pauses


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in {"keys", "delete below"}])
async def test_a_store_that_refuses_our_credentials_may_accept_them_later(
    s3: S3, objects: ObjectStore, name: str
) -> None:
    s3.refuse(way="refused")
    error = await failure(OPERATIONS[name], objects)

    assert isinstance(error, Deferred)
    assert error.code == "storage_refused"


async def broken() -> AsyncIterator[bytes]:
    yield LARGE
    raise KeyError("mine")


async def test_an_upload_that_fails_leaves_no_parts_behind(s3: S3, objects: ObjectStore) -> None:
    with pytest.raises(KeyError, match="mine"):
        await objects.put("a", broken())
    with pytest.raises(ObjectTooLarge):
        await objects.put("b", files.chunks_of(LARGE), limit=len(LARGE) - 1)
    s3.refuse("partNumber=3")
    with pytest.raises(TransientError):
        await objects.put("c", files.chunks_of(LARGE))

    assert (s3.open_uploads(), s3.keys()) == ([], [])


async def test_a_cancelled_upload_leaves_no_parts_behind(s3: S3, objects: ObjectStore) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield LARGE
        await asyncio.Event().wait()

    fault = s3.refuse("partNumber=2", way="pass")
    putting = asyncio.create_task(objects.put("a", endless()))
    await asyncio.to_thread(fault.wait)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting

    assert (s3.open_uploads(), s3.keys()) == ([], [])
