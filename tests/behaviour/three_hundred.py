"""A program of many files of every kind, some of which cannot be read, and somebody who never stops counting them."""

import contextlib
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.documents import files
from tests.support.stack import Stack

File = tuple[str, bytes]
Results = Mapping[str, Mapping[str, int]]

STAGES = ("preprocessing", "document_storage")
REFUSED = 5
"""Files whose storing the object store refuses for a while."""


def _story(number: int) -> str:
    heading = f"S#{number}. 헌책방 / 밤"
    action = f"한지수는 {number}번째 편지를 서랍에 넣는다. 창밖에는 눈이 내린다."
    return f"{heading}\n\n{action}\n\n지수\t오늘은 읽지 않을 거야."


_KINDS: Sequence[tuple[str, Callable[[str], bytes]]] = (
    ("{}.txt", str.encode),
    ("{}.pdf", files.pdf),
    ("메모 {}.md", lambda text: f"# 메모\n\n{text}".encode()),
    ("{}.docx", files.docx),
    ("{}-cp949.txt", lambda text: text.encode("cp949")),
    ("{}.pptx", files.pptx),
    ("{}.html", files.html),
    ("{}-utf16.txt", lambda text: text.encode("utf-16")),
    ("{}.xlsx", files.xlsx),
    ("{}.hwpx", files.hwpx),
)


def unreadable() -> list[File]:
    """Five that nobody can read: two are turned away at the door, three fail while they are read."""
    return [
        ("scan.pdf", files.scan_pdf()),
        ("locked.pdf", files.encrypted_pdf()),
        ("cut.docx", files.docx(_story(0))[:-400]),
        ("program.pdf", b"MZ" + bytes(range(256)) * 4),
        ("empty.txt", b""),
    ]


def readable(count: int) -> Iterator[File]:
    """Files of every kind in turn, each with a text of its own."""
    for number, (name, made) in zip(range(1, count + 1), itertools.cycle(_KINDS), strict=False):
        yield name.format(number), made(_story(number))


def mixed(count: int) -> list[File]:
    """`count` files, the unreadable ones spread among them."""
    bad = unreadable()
    wanted = list(readable(count - len(bad)))
    for number, file in enumerate(bad):
        wanted.insert((number + 1) * count // (len(bad) + 1), file)
    return wanted


@dataclass
class Batch:
    """One program, by the API alone."""

    stack: Stack
    program_id: str
    count: int

    @classmethod
    def upload(cls, stack: Stack, wanted: Sequence[File], project: str = "책방", key: str = "all") -> "Batch":
        parts = [("files", (name, content)) for name, content in wanted]
        answer = stack.http.post(
            "/v1/programs", data={"container_id": project}, files=parts, headers={"Idempotency-Key": key}, timeout=60
        )
        assert answer.status_code == 202, answer.text
        return cls(stack, answer.json()["program_id"], len(wanted))

    def show(self) -> dict[str, Any]:
        return dict(self.stack.http.get(f"/v1/programs/{self.program_id}").raise_for_status().json())

    def files(self) -> list[dict[str, Any]]:
        page = self.stack.http.get(f"/v1/programs/{self.program_id}/files", params={"limit": 500})
        return list(page.raise_for_status().json()["items"])

    def summaries(self) -> list[dict[str, int]]:
        """Total, success and failed of both stages."""
        metadata = self.show()["metadata_json"]
        return [metadata[stage]["summary"] for stage in STAGES]

    def states(self) -> Counter[str]:
        return Counter(file["status"] for file in self.files())

    def documents(self) -> int:
        return int(self.show()["metadata_json"]["total_successful_documents"])

    def wait_until(self, condition: Callable[[Counter[str]], bool], what: str, seconds: float = 240) -> None:
        self.stack.until(lambda: condition(self.states()), what, seconds)

    def wait_until_half_is_done(self) -> None:
        self.wait_until(lambda states: states["completed"] >= self.count // 2, "half of the files are read")

    def retry(self, retry_type: str = "all", wait: int = 30) -> dict[str, Any]:
        answer = self.stack.http.post(
            f"/v1/programs/{self.program_id}/retry", params={"retry_type": retry_type, "wait": wait}, timeout=wait + 30
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@dataclass
class Watcher:
    """Counts a program's files again and again; `odd` holds each count that was not what it must be."""

    batch: Batch
    odd: list[Counter[str]] = field(default_factory=list)
    looks: int = 0

    def look(self) -> None:
        seen = self.batch.files()
        states = Counter(file["status"] for file in seen)
        self.looks += 1
        if states.total() != self.batch.count or len({file["index"] for file in seen}) != self.batch.count:
            self.odd.append(states)
        counts = Counter(self.batch.show()["files"])
        if counts.pop("total") != self.batch.count or counts.total() != self.batch.count:
            self.odd.append(counts)


@contextmanager
def watched(batch: Batch) -> Iterator[Watcher]:
    """Watch until the context ends; while nobody answers, there is nothing to count."""
    watcher, over = Watcher(batch), threading.Event()

    def run() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError, httpx2.HTTPError):
                watcher.look()
            over.wait(0.1)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield watcher
    finally:
        over.set()
        thread.join()
