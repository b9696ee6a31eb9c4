"""What the child is told: what it may use at most, which the kernel hears before any parser is imported."""

import ctypes
import resource
import signal
from collections.abc import Sequence
from dataclasses import dataclass

_OPEN_FILES = 32
_PR_SET_PDEATHSIG = 1  # prctl(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bytes of address space, seconds of processor time, characters of text, pages."""

    memory_bytes: int
    cpu_seconds: int
    max_characters: int
    max_pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Which pages (from 1) to read as pictures, by which program, in which languages (`kor+eng`)."""

    command: Sequence[str]
    languages: str
    pages: Sequence[int]


def confine(limits: Limits) -> None:
    """Bind this process: memory, processor time, open files; it can write no file and leaves no core.

    It ends with the process that started it, since nobody would read its answer.
    """
    end_with_parent()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_AS, limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, limits.cpu_seconds)


def end_with_parent() -> None:
    """Have this process killed when the one that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
    # The hard limit of processor time is a second later: the soft one ends the process with a signal that says why.
    later = 1 if which == resource.RLIMIT_CPU and (hard == resource.RLIM_INFINITY or allowed < hard) else 0
    resource.setrlimit(which, (allowed, allowed + later))
