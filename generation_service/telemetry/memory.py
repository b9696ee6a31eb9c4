"""How much memory this process holds, and how much of what it may have is taken: read from /proc and the cgroup."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_KIB = 1024


class MemoryUse(NamedTuple):
    """Bytes in use, and the bytes that there are. What the kernel could give back at once does not count as used."""

    used: int
    limit: int

    @property
    def percent(self) -> float:
        return 100 * self.used / self.limit if self.limit else 0.0


def own_memory(proc: Path = _PROC) -> int:
    """The bytes of this process that are in memory (its resident set); 0 where /proc does not say."""
    try:
        return int((proc / "self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def system_memory(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> MemoryUse:
    """The memory of whatever limits this process most: a cgroup (version 2 or 1) of its own, or the machine."""
    machine = _machine(proc)
    limited = _limits(proc, cgroups, machine.limit or math.inf)
    return max(limited, key=lambda one: one.percent, default=machine)


def _machine(proc: Path) -> MemoryUse:
    fields = _fields(proc / "meminfo")
    total = fields.get("MemTotal:", 0)
    return MemoryUse((total - fields.get("MemAvailable:", total)) * _KIB, total * _KIB)


def _limits(proc: Path, cgroups: Path, below: float) -> Iterator[MemoryUse]:
    """Every group around this process with a limit `below` so many bytes: each holds, the inner and the outer."""
    for line in _lines(proc / "self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            names = ("memory.max", "memory.current", "inactive_file")
            roots = [cgroups, cgroups / "unified"]
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            roots = [cgroups / "memory"]
        else:
            continue
        for root in roots:
            for folder in _upwards(root, path):
                yield from _of_group(folder, *names, below=below)


def _upwards(root: Path, path: str) -> Iterator[Path]:
    """The folder of a group and of those around it; inside a container only some of them can be seen."""
    parts = [part for part in path.split("/") if part not in {"", ".."}]
    for length in range(len(parts), -1, -1):
        yield root.joinpath(*parts[:length])


def _of_group(folder: Path, limit: str, usage: str, reclaimable: str, *, below: float) -> Iterator[MemoryUse]:
    most = _number(folder / limit)
    if not most or most >= below:  # asked for every second: the other files are read only where they can count
        return
    used = _number(folder / usage)
    if used is not None:
        yield MemoryUse(max(0, used - _fields(folder / "memory.stat").get(reclaimable, 0)), most)


def _number(path: Path) -> int | None:
    """The number in a file; None where there is no such file, or no limit (`max`)."""
    said = "".join(_lines(path)[:1])
    return int(said) if said.isdecimal() else None


def _fields(path: Path) -> dict[str, int]:
    words = [line.split() for line in _lines(path)]
    return {line[0]: int(line[1]) for line in words if len(line) > 1 and line[1].isdecimal()}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_bytes().decode("ascii", "replace").splitlines()
    except OSError:
        return []
