"""Object stores: the same behaviour from the local one and the one in memory."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from obstore.exceptions import PermissionDeniedError

from generation_service.errors import ConfigurationError, Deferred, TransientError
from generation_service.objects import ObjectMissing, ObjectStore, ObjectTooLarge, artefact_key, source_key
from generation_service.objects import store as module
from tests.documents import files

CONTENT = bytes(range(256)) * 40_000  # about 10 MB: several parts


@pytest.fixture(params=["local", "file url", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "memory":
        return ObjectStore.in_memory()
    folder = tmp_path / "객체 저장소"
    return ObjectStore.open(str(folder) if request.param == "local" else folder.as_uri())


async def test_what_was_put_is_read_and_downloaded(objects: ObjectStore, tmp_path: Path) -> None:
    stored = await objects.put("a/b", files.chunks_of(CONTENT))
    await objects.download("a/b", tmp_path / "copy")

    assert (stored.size, stored.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert await objects.read("a/b") == CONTENT
    assert (tmp_path / "copy").read_bytes() == CONTENT


async def test_an_object_put_again_is_replaced(objects: ObjectStore) -> None:
    await objects.put_bytes("a", b"one")
    await objects.put_bytes("a", b"two")

    assert await objects.read("a") == b"two"


async def test_nothing_is_stored_of_what_is_too_large(objects: ObjectStore) -> None:
    with pytest.raises(ObjectTooLarge):
        await objects.put("a", files.chunks_of(CONTENT), limit=len(CONTENT) - 1)
    with pytest.raises(ObjectMissing):
        await objects.read("a")

    assert (await objects.put("a", files.chunks_of(CONTENT), limit=len(CONTENT))).size == len(CONTENT)


async def test_what_the_chunks_raise_passes_through_and_nothing_is_stored(objects: ObjectStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield CONTENT
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await objects.put("a", broken())
    with pytest.raises(ObjectMissing):
        await objects.read("a")


async def test_an_object_that_is_not_there_is_missing_and_fine_to_delete(objects: ObjectStore, tmp_path: Path) -> None:
    await objects.put_bytes("a", b"x")
    await objects.delete("a")
    await objects.delete("a")

    with pytest.raises(ObjectMissing):
        await objects.read("a")
    with pytest.raises(ObjectMissing):
        await objects.download("a", tmp_path / "copy")


async def test_objects_are_there_listed_and_deleted_by_folder(objects: ObjectStore) -> None:
    for key in ("a/1/x", "a/1/y", "a/10/x"):
        await objects.put_bytes(key, b"x")

    assert sorted([key async for key in objects.keys("")]) == ["a/1/x", "a/1/y", "a/10/x"]
    assert sorted([key async for key in objects.keys("a/1")]) == ["a/1/x", "a/1/y"]
    assert [await objects.delete_below("a/1"), await objects.delete_below("a/1")] == [2, 0]
    assert [key async for key in objects.keys("nowhere")] == []
    assert [await objects.exists("a/10/x"), await objects.exists("a/1/x")] == [True, False]


async def test_an_empty_object_is_an_object(objects: ObjectStore) -> None:
    assert (await objects.put_bytes("a", b"")).size == 0
    assert await objects.read("a") == b""


def has_files(folder: Path) -> bool:
    return any(path.is_file() for path in folder.rglob("*"))


async def test_a_cancelled_upload_leaves_no_file(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield CONTENT
        begun.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(ObjectStore.open(str(tmp_path)).put("a/b", endless()))
    await begun.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting

    async with asyncio.timeout(10):
        while has_files(tmp_path):  # noqa: ASYNC110 - the library tidies up by itself
            await asyncio.sleep(0.01)


async def test_no_folder_and_no_beginning_of_an_upload_is_left_of_what_was_deleted(tmp_path: Path) -> None:
    objects = ObjectStore.open(str(tmp_path / "objects"))
    for key in ("p/1/source", "p/2/source", "p/3/source"):
        await objects.put_bytes(key, b"x")
    (tmp_path / "objects/p/1/source#1").write_bytes(b"the process that wrote this was killed")

    assert await objects.delete_below("p/1") == 1
    assert sorted(path.name for path in (tmp_path / "objects/p").iterdir()) == ["2", "3"]
    await objects.delete("p/2/source")
    await objects.delete_below("p/3")
    assert list((tmp_path / "objects").iterdir()) == []


@pytest.mark.parametrize("prefix", ["", ".", "..", "../.."])
async def test_only_a_folder_inside_the_store_is_deleted(tmp_path: Path, prefix: str) -> None:
    objects = ObjectStore.open(str(tmp_path / "objects"))
    await objects.put_bytes("a", b"x")
    with pytest.raises((ValueError, TransientError)):
        await objects.delete_below(prefix)

    assert await objects.read("a") == b"x"


async def test_a_folder_that_is_emptied_while_others_store_in_it_loses_nothing(tmp_path: Path) -> None:
    objects = ObjectStore.open(str(tmp_path))

    async def comes_and_goes(number: int) -> None:
        await objects.put_bytes(f"a/b/{number}/x", b"x")
        await objects.delete_below(f"a/b/{number}")
        await objects.put_bytes(f"a/b/{number}", b"x")

    await asyncio.gather(*(comes_and_goes(number) for number in range(100)))

    assert len([key async for key in objects.keys("")]) == 100


def open_at(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


async def test_a_local_object_and_its_folders_are_on_the_disk_before_put_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(module.os, "fsync", lambda descriptor: synced.append(open_at(descriptor)))
    await ObjectStore.open(str(tmp_path / "s")).put_bytes("a/b/c", b"x")

    assert synced == [str(tmp_path / place) for place in ("s/a/b/c", "s/a/b", "s/a", "s", "")]


async def test_a_store_that_does_not_answer_is_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    objects = ObjectStore.open("s3://bucket/prefix", endpoint_url="http://127.0.0.1:1")

    with pytest.raises(TransientError):
        await objects.put_bytes("a", b"x")


async def test_a_store_that_refuses_our_credentials_may_accept_them_later(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = ObjectStore.in_memory()

    async def refuses(*_: object, **__: object) -> None:
        raise PermissionDeniedError("no")

    monkeypatch.setattr(module.MemoryStore, "get_async", refuses)
    with pytest.raises(Deferred) as caught:
        await objects.read("a")

    assert caught.value.code == "storage_refused"


@pytest.mark.parametrize("url", ["http://host/path", "file://host/path", "s3://", "", "/proc/nowhere"])
def test_a_place_that_cannot_be_opened_is_one_line(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^STORAGE_URL: [^\n]+$"):
        ObjectStore.open(url)


def test_keys_are_made_of_ids_and_digests_only() -> None:
    assert "evil" not in source_key("../../evil", "019a")
    assert source_key("a", "d") != source_key("b", "d")
    assert artefact_key(source_key("a", "d"), "j", 3) == source_key("a", "d").replace("source", "preprocessed-j-3.json")
