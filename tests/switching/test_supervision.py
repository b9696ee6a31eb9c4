"""A process is told from every other by its number and its start, and a line to the supervisor breaks nothing."""

import os
import subprocess
import sys
from multiprocessing import Pipe
from pathlib import Path

from generation_service.switching.supervision import ProcessIdentity, Supervision, Word, supervision

NAMED = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'a) b ( 1 2'); print('named', flush=True); sys.stdin.read()"


def test_a_process_is_known_by_its_number_and_its_start() -> None:
    own = ProcessIdentity.of(os.getpid())

    assert own is not None
    assert own == ProcessIdentity.of(os.getpid())
    assert str(own) == f"{os.getpid()}:{own.started}"
    assert own != ProcessIdentity.of(os.getppid())
    assert ProcessIdentity.of(2**22 + 1) is None


def test_a_name_that_looks_like_more_fields_does_not_shift_the_start() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    with subprocess.Popen([sys.executable, "-c", NAMED], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as named:
        assert named.stdout
        assert named.stdout.readline() == b"named\n"
        found = ProcessIdentity.of(named.pid)
        named.kill()

    assert found is not None
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    assert 0 <= uptime - found.started / ticks < 120


def test_a_supervisor_that_is_gone_breaks_nothing() -> None:
    end, its_end = Pipe()
    identity = ProcessIdentity(1, 1)
    one = Supervision(identity, its_end)
    end.send_bytes(Word("a", "replaced").to_bytes())
    end.close()

    one.ask("b")

    assert one.words() == [Word("a", "replaced")]
    assert one.words() == []


def test_this_process_is_kept_by_nobody() -> None:
    assert supervision() is None
