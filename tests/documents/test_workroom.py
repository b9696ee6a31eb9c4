"""The folder a file is read in: gone afterwards, whoever is killed meanwhile, and nobody else's while it is in use."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from generation_service.documents import workroom
from tests.documents import files
from tests.documents.conftest import Library

# Reads a document with a child that never answers, and says when that child has begun.
_READER = """
import asyncio, sys
from types import SimpleNamespace
from generation_service.documents import Parser, Reading
from generation_service.objects import ObjectStore
from generation_service.reader.limits import Limits

async def main():
    objects = ObjectStore.in_memory()
    await objects.put_bytes("a/source", b"text")
    limits = Limits(memory_bytes=2**30, cpu_seconds=20, max_characters=1000, max_pages=10)
    slow = (sys.executable, "-c", "import os, signal, sys; print(flush=True); signal.pause()")
    parser = Parser(limits=limits, wall_seconds=60.0, at_once=1, command=slow)
    reading = asyncio.create_task(
        Reading(objects, parser, None).read(
            SimpleNamespace(object_key="a/source", file_type="txt", use_multimodal=False)
        )
    )
    children = f"/proc/self/task/{__import__('os').getpid()}/children"
    while not open(children).read():
        await asyncio.sleep(0.01)
    print("reading", flush=True)
    await reading

asyncio.run(main())
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files, with nothing in it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def reader(temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that reads a document, until it is killed."""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(
        [sys.executable, "-c", _READER], stdout=subprocess.PIPE, text=True, env=environment
    ) as reader:
        assert reader.stdout is not None
        said = reader.stdout.readline()
        children = Path(f"/proc/{reader.pid}/task/{reader.pid}/children").read_text().split()
        yield reader
        reader.kill()
    for child in children:  # which does not end by itself, as no document is read in it
        os.kill(int(child), signal.SIGKILL)
    assert said == "reading\n"


def names(temporary: Path) -> list[str]:
    """What is in the folder."""
    return [path.name for path in temporary.iterdir()]


def sources(temporary: Path) -> int:
    """How many files are there, each of a document that is read, or was."""
    return len(list(temporary.rglob("source")))


async def test_what_a_killed_process_was_reading_is_gone_with_the_next_reading(
    library: Library, temporary: Path, reader: subprocess.Popen[str]
) -> None:
    # Given a document that another process reads, while this one reads others
    await library.read(files.SCRIPT.encode())
    assert sources(temporary) == 1

    # When that process is killed
    reader.send_signal(signal.SIGKILL)
    reader.wait(10)
    assert sources(temporary) == 1

    # Then the next reading removes what it left
    await library.read(files.word(), "인물.docx")
    assert names(temporary) == []


def test_a_folder_is_removed_when_it_is_left(temporary: Path) -> None:
    with suppress(KeyError), workroom.workroom() as folder:
        (folder / "source").write_bytes(b"text")
        assert sources(temporary) == 1
        raise KeyError

    assert names(temporary) == []


def test_a_folder_that_is_taken_for_abandoned_before_it_is_locked_is_made_anew(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, made = tempfile.mkdtemp, []

    def overtaken(**given: str) -> str:
        made.append(make(**given))
        if len(made) == 1:
            workroom.remove_abandoned()
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", overtaken)
    with workroom.workroom() as folder:
        assert folder.is_dir()
        workroom.remove_abandoned()
        assert folder.is_dir()

    assert len(made) == 2


def test_folders_of_others_stay(temporary: Path) -> None:
    (temporary / "document-of-somebody").mkdir()
    workroom.remove_abandoned()

    assert names(temporary) == ["document-of-somebody"]
