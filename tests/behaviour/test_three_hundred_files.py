"""Files of every kind, some broken, some that the store refuses: each is in one state, and none is forgotten."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.behaviour.three_hundred import REFUSED, Batch, Watcher, mixed, watched
from tests.support.s3 import S3, s3_server
from tests.support.stack import Stack, stack

pytestmark = pytest.mark.timeout(600)

_FILES = int(os.environ.get("PROGRAM_FILES", "30"))
_UNREADABLE = 5

Disturb = Callable[[Stack, Batch], None]


def nothing(stack: Stack, batch: Batch) -> None:
    """Leave them alone."""


def kill_the_worker(stack: Stack, batch: Batch) -> None:
    """SIGKILL half-way, and another one."""
    batch.wait_until_half_is_done()
    stack.children["worker"].send(signal.SIGKILL)
    stack.worker("worker-2")


def switch_the_mode(stack: Stack, batch: Batch) -> None:
    """Everything, running too, goes to in-process execution half-way."""
    batch.wait_until_half_is_done()
    headers = {"Authorization": "Bearer admin"}
    wanted = {"use_durable_worker": False, "reason": "a rehearsal", "carry": "running"}
    answer = stack.http.post("/api/admin/worker-mode", json=wanted, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text


# Undisturbed it is only measured: the others go through all of it, too.
DISTURBANCES = [kill_the_worker, switch_the_mode, *([nothing] if "PROGRAM_FILES" in os.environ else [])]


@pytest.fixture
def s3() -> Iterator[S3]:
    with s3_server() as running:
        yield running


@pytest.fixture
def service(s3: S3, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stack]:
    settings = {
        "USE_DURABLE_WORKER": "true",
        "REDIS_URL": redis_url,
        "ADMIN_TOKEN": "admin",
        "JOB_LEASE_SECONDS": "5",
        "PROGRAM_RETRY_AT_ONCE_SECONDS": os.environ.get("PROGRAM_RETRY_AT_ONCE_SECONDS", "10"),  # time to look, if slow
        **s3.environment(),
    }
    with stack(tmp_path / "stack", database_url, **settings) as running:
        running.serve()
        running.worker()
        yield running


@pytest.mark.parametrize("disturb", DISTURBANCES)
def test_what_can_be_read_is_read_what_passes_recovers_and_the_rest_says_why(
    service: Stack, s3: S3, disturb: Disturb
) -> None:
    # Given files of every kind, and a store that refuses five of the artefacts for a while
    s3.refuse(r"/preprocessed-", method="GET", keys=REFUSED)
    began = time.monotonic()
    batch = Batch.upload(service, mixed(_FILES))

    with watched(batch) as watcher:
        # When whatever may happen has happened, then all but ten are documents
        disturb(service, batch)
        all_but_ten_are_documents(batch)
        print(f"{_FILES} files, {disturb.__name__}: {time.monotonic() - began:.1f} s")  # noqa: T201 - measured

        # When the store answers again, then what it had refused recovers by itself
        s3.allow()
        batch.wait_until(lambda states: states["completed"] == _FILES - _UNREADABLE, "the refused ones recovered")
        the_rest_is_retried_by_hand(batch)
    assert_never_miscounted(watcher)


def all_but_ten_are_documents(batch: Batch) -> None:
    at_rest = {"completed": _FILES - _UNREADABLE - REFUSED, "failed": _UNREADABLE + REFUSED}
    batch.wait_until(lambda states: states == at_rest, "ten have failed, the others are read")
    whole = _FILES - _UNREADABLE
    assert batch.summaries() == [
        {"total": _FILES, "success": whole, "failed": _UNREADABLE},
        {"total": whole, "success": whole - REFUSED, "failed": REFUSED},
    ]
    assert batch.documents() == whole - REFUSED
    metadata = batch.show()["metadata_json"]
    assert metadata["has_partial_failure"] is True
    assert {file["error_class"] for file in metadata["document_storage"]["failed_files"]} == {"transient"}


def the_rest_is_retried_by_hand(batch: Batch) -> None:
    answer = batch.retry()

    none = {"retried": 0, "success": 0, "failed": 0}
    assert answer["results"] == {"preprocessing": {"retried": 5, "success": 0, "failed": 5}, "document": none}
    left = {file["file_path"]: file for file in batch.files() if file["status"] == "failed"}
    assert sorted(left) == ["cut.docx", "empty.txt", "locked.pdf", "program.pdf", "scan.pdf"]
    assert all(file["error"] and file["error_class"] == "permanent" for file in left.values())
    history = [
        (one["retry_type"], one["results"]["document"]) for one in batch.show()["metadata_json"]["retry_history"]
    ]
    assert history == [("document", {"retried": 5, "success": 5, "failed": 0}), ("all", none)]


def assert_never_miscounted(watcher: Watcher) -> None:
    assert watcher.looks > 10
    assert watcher.odd == []
