"""Hostile files handed to a service that works: each ends with its code, and nobody else notices."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.behaviour.three_hundred import Batch
from tests.documents import files
from tests.documents.test_hostile import HOSTILE, LONGEST_SECONDS, MOST_GROWTH, word_with
from tests.support.stack import Stack, stack

pytestmark = pytest.mark.timeout(300)

_CHOSEN = (
    "a pdf bomb",
    "a pdf bomb in a bomb",
    "a docx bomb",
    "a docx of laughs",
    "17 billion cells",
    "200,000 nested tags",
    "a pdf with a password",
    "a docx that is cut off",
    "a scan",
)
_AT_THE_DOOR = {"program.pdf": (b"MZ" + bytes(range(256)) * 4, "type_not_taken"), "nothing.txt": (b"", "empty")}


@pytest.fixture
def service(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stack]:
    settings = {"USE_DURABLE_WORKER": "true", "REDIS_URL": redis_url}
    with stack(tmp_path / "stack", database_url, **settings) as running:
        running.serve()
        running.worker()
        yield running


def hostile(tmp_path: Path) -> dict[str, tuple[bytes, str]]:
    """The files by name, each with the code that it ends in."""
    made = {f"{name}.{HOSTILE[name][1]}": (HOSTILE[name][0](), HOSTILE[name][2]) for name in _CHOSEN}
    secret = files.written(tmp_path, b"the secret", "secret")
    outside = word_with("&x;", f'<!DOCTYPE d [<!ENTITY x SYSTEM "{secret.as_uri()}">]>')
    return {**made, "an entity.docx": (outside, "unreadable"), **_AT_THE_DOOR}


def held(service: Stack) -> int:
    """The memory of the processes that serve and run jobs; what they start to read a file is not theirs."""
    started = [psutil.Process(child.pid) for child in service.children.values()]
    serving = [child for child in started[0].children() if "reader" not in " ".join(child.cmdline())]
    return sum(process.memory_info().rss for process in [*started, *serving])


def test_each_ends_with_its_code_and_harms_nobody(service: Stack, tmp_path: Path) -> None:
    # Given a service that has read a file and written an episode before
    Batch.upload(service, [("../../x.txt", files.SCRIPT.encode())], key="first").wait_until(
        lambda states: states["completed"] == 1, "a file named like a way out is a document like any other"
    )
    service.wait_for(service.submit()["job_id"], "completed")
    before = held(service)

    # When hostile files come, and somebody else's job with them
    bad = hostile(tmp_path)
    batch = Batch.upload(service, [(name, content) for name, (content, _) in bad.items()], project="bad", key="bad")
    other = service.submit(project="good")

    # Then each has failed with its code, the other job is written, and the service has not grown
    batch.wait_until(lambda states: states["failed"] == len(bad), "each has failed")
    assert service.wait_for(other["job_id"])["status"] == "completed"
    assert held(service) - before < MOST_GROWTH
    found = {file["file_path"]: file for file in batch.files()}
    assert {name: file["code"] for name, file in found.items()} == {name: code for name, (_, code) in bad.items()}
    assert all(file["seconds"] < LONGEST_SECONDS for file in found.values())
    assert "the secret" not in service.logs() + str(found)
