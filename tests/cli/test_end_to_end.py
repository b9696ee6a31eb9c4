"""The commands together, as separate processes: a text comes out in either mode, and everything ends in good order."""

import json
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.serving import DEADLINE_SECONDS, command, end, start

Process = subprocess.Popen[str]


@contextmanager
def running(folder: Path, environment: Mapping[str, str], *arguments: str) -> Iterator[tuple[Process, str]]:
    """A long-lived command and the first line it prints, which says that it is ready; ends it with SIGTERM."""
    process = start(command(*arguments), environment, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout
        yield process, process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0
    finally:
        end(process)


@pytest.mark.parametrize("backend", ["background_tasks", "rq"])
def test_a_text_comes_out_in_either_mode(backend: str, tmp_path: Path, redis_url: str) -> None:
    environment = {"USE_DURABLE_WORKER": str(backend == "rq").lower(), "REDIS_URL": redis_url, "PORT": "0"}
    (tmp_path / "notes.md").write_text(
        "# Notes\n\nThe keeper Mina lit the lamp before the storm came.\n", encoding="utf-8"
    )

    with (
        running(tmp_path, environment, "serve") as (_, ready),
        running(tmp_path, environment, "worker") as (_, listening),
    ):
        assert "rag_processing" in listening
        environment["API_URL"] = ready.split(" ready at ")[1].split()[0]
        uploaded = finished(tmp_path, environment, "documents", "upload", "notes.md", "--project", "p", "--wait")
        generated = finished(tmp_path, environment, "generate", "--project", "p", "--title", "The lamp")
        status = finished(tmp_path, environment, "status")

    assert uploaded["documents"][0]["status"] == "completed"
    assert (generated["job"]["status"], generated["job"]["backend"]) == ("completed", backend)
    assert "Mina" in generated["text"]
    assert status["jobs"][backend]["completed"] == 2  # the document's job, and the text's
    assert len(status["redis"]["workers"]) == 1


def finished(folder: Path, environment: Mapping[str, str], *arguments: str) -> dict[str, object]:
    """What a command that ends by itself prints as JSON."""
    process = start(command(*arguments, "--json"), environment, cwd=folder)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return dict(json.loads(out))
