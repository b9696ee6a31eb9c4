"""The demonstration, as a person runs it: the whole stack, real processes, both languages."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from generation_service import samples
from generation_service.settings import Settings
from generation_service.texts import Language
from scripts.embedded.ports import free_port, is_taken
from scripts.embedded.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60.0
MARK = "MARK_OF_THIS_TEST"


@dataclass
class Checkout:
    """A place of its own for stacks: their files, their database, their port; every process of theirs is marked."""

    folder: Path
    port: int = field(default_factory=free_port)
    mark: str = field(default_factory=lambda: uuid4().hex)

    @property
    def environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
        return own | {
            "PORT": str(self.port),
            "DATABASE_URL": f"sqlite:///{self.folder / 'generation.db'}",
            "STORAGE_URL": str(self.folder / "objects"),
            "SHUTDOWN_GRACE_SECONDS": "2",
            "LANG": "C.UTF-8",
            MARK: self.mark,
        }

    def stack(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start `python -m scripts.dev_stack` as a child that is asked to end like a person would."""
        return subprocess.Popen(
            [sys.executable, "-m", "scripts.dev_stack", "--var", str(self.folder / "var"), *arguments],
            env=self.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def demo(self, language: Language) -> tuple[str, str]:
        """Run the demonstration; what it printed, and what it said beside that."""
        with self.stack("--demo", "--language", language) as running:
            printed, said = running.communicate(timeout=SECONDS)
        assert running.returncode == 0, said
        return printed, said

    @contextmanager
    def ready_stack(self) -> "Iterator[subprocess.Popen[str]]":
        """A stack that has said where its API docs are; it is ended with the context, where the test did not do so."""
        with self.stack() as running:
            assert running.stderr
            said = []
            while "API docs" not in (line := running.stderr.readline()):
                said.append(line)
                assert line, f"the stack ended before it was ready: {''.join(said)}"
            try:
                yield running
            finally:
                running.terminate()

    def left_running(self) -> list[str]:
        """The processes that carry this place's mark."""
        found = []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self.mark in environ.read_text(errors="replace"):
                    found.append(environ.parent.name)
            except OSError:
                continue
        return found

    def redis_port(self) -> int:
        return int(next((self.folder / "var").glob("redis*/port")).read_text())


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def sentences(language: Language) -> set[str]:
    """The sentences of a sample's plain documents."""
    texts = [
        one.path.read_text(encoding="utf-8")
        for one in samples.load(language).documents
        if one.path.suffix in {".md", ".txt"}
    ]
    return {part.strip() for text in texts for part in re.split(r"(?<=[.?!])\s+", text) if len(part.strip()) > 15}


def quoted(script: str, language: Language) -> list[str]:
    return [sentence for sentence in sentences(language) if sentence in script]


@pytest.mark.slow
def test_the_demo_writes_a_script_from_the_sample_documents_in_their_language(checkout: Checkout) -> None:
    # When it runs in Korean, and then in English
    korean, _ = checkout.demo("ko")
    english, _ = checkout.demo("en")

    # Then each quotes its own documents, and is kept in a file that was named
    assert quoted(korean, "ko")
    assert quoted(english, "en")
    assert not quoted(english, "ko")
    saved = re.search(r"\S+sample-ko/\d\S+\.md", korean)
    assert saved
    assert Path(saved[0]).read_text(encoding="utf-8").strip() in korean

    # And nothing of it runs any more
    assert checkout.left_running() == []
    assert not is_taken(checkout.port)
    assert not is_taken(checkout.redis_port())


@pytest.mark.slow
def test_a_second_demo_finds_what_the_first_one_left(checkout: Checkout) -> None:
    checkout.demo("en")

    printed, said = checkout.demo("en")

    assert "has the sample documents already" in said
    assert "episode 2 of sample-en" in printed


@pytest.mark.slow
def test_ctrl_c_ends_every_process_of_a_stack(checkout: Checkout) -> None:
    # Given a stack that is ready
    with checkout.ready_stack() as running:
        assert len(checkout.left_running()) >= 4  # the stack itself, API, worker, scheduler

        # When it is interrupted
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=SECONDS)

    # Then it ends well and nothing of it is left
    assert running.returncode == 0
    assert checkout.left_running() == []
    assert list((checkout.folder / "var" / "run").glob("*.pid")) == []


@pytest.mark.slow
def test_a_stack_that_is_killed_takes_its_processes_along(checkout: Checkout) -> None:
    with checkout.ready_stack() as running:
        redis_port = checkout.redis_port()

        running.kill()

    assert wait_until(lambda: checkout.left_running() == [], SECONDS, pause_seconds=0.2)
    assert wait_until(lambda: not is_taken(redis_port), SECONDS, pause_seconds=0.2)
