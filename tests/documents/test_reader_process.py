"""The child that reads a document ends with the process that asked it to."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_PARENT = """
import json, subprocess, sys
limits = json.dumps({"memory_bytes": 2**30, "cpu_seconds": 20, "max_characters": 1000, "max_pages": 10})
child = subprocess.Popen([sys.executable, "-I", "-m", "generation_service.reader", sys.argv[1], "txt", limits])
print(child.pid, flush=True)
child.wait()
"""


def test_a_reader_whose_parent_was_killed_is_gone(tmp_path: Path) -> None:
    endless = tmp_path / "endless.txt"
    os.mkfifo(endless)
    with subprocess.Popen([sys.executable, "-c", _PARENT, str(endless)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        reader = int(parent.stdout.readline())
        writer = os.open(endless, os.O_WRONLY)  # returns once the reader has opened its end: its limits hold
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)

    deadline = time.monotonic() + 10
    while Path(f"/proc/{reader}/stat").exists() and not is_dead(reader):
        assert time.monotonic() < deadline, "the reader has outlived its parent"
    os.close(writer)


def is_dead(pid: int) -> bool:
    """Ended, though perhaps not yet waited for by whoever has adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
