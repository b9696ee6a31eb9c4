"""The machine and the versions that a benchmark ran on: without them its numbers say nothing."""

import os
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from generation_service.errors import ConfigurationError
from scripts.embedded.children import Program
from scripts.embedded.postgresql_programs import find_programs
from scripts.embedded.redis_server import find_program

PEERS = ("dbos", "dramatiq", "saq")  # what the extra `bench` installs
LIBRARIES = (
    *("sqlalchemy", "psycopg", "redis", "rq", "fastapi", "uvicorn", "sse-starlette", "pydantic", "httpx2", "uvloop"),
    *PEERS,
)
_GIGABYTE = 10**9
_ASK_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What it is; nothing here says whose."""

    cores: int
    processor: str
    memory_gb: float
    kernel: str
    file_system: str

    @classmethod
    def here(cls) -> "Machine":
        return cls(
            cores=len(os.sched_getaffinity(0)),
            processor=_processor(),
            memory_gb=round(psutil.virtual_memory().total / _GIGABYTE, 1),
            kernel=f"{platform.system()} {platform.release()}",
            file_system=file_system_of(Path(tempfile.gettempdir())),
        )

    def as_json(self) -> dict[str, object]:
        return asdict(self)

    def in_words(self) -> str:
        """One line."""
        cores = f"{self.cores} core{'s' if self.cores > 1 else ''}"
        return f"{cores}, {self.processor}, {self.memory_gb:g} GB, {self.kernel}, {self.file_system}"


def versions() -> dict[str, str]:
    """Python, the servers and the libraries; one that is not there is `-`."""
    found = {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "postgresql": _postgresql(),
        "redis-server": _redis(),
    }
    return found | {name: _installed(name) for name in LIBRARIES}


def in_words(found: Mapping[str, str]) -> str:
    """The versions in one line; what is not there is not in it."""
    return ", ".join(f"{name} {number}" for name, number in found.items() if number != "-")


def load() -> float:
    """How busy the machine has been in the last minute (load average): a busy one measures others, too."""
    return round(os.getloadavg()[0], 2)


def file_system_of(path: Path) -> str:
    """The kind of file system below `path`, such as ext4; one that is memory commits to nothing."""
    mounts = [(Path(part.mountpoint), part.fstype) for part in psutil.disk_partitions(all=True)]
    within = [mount for mount in mounts if path.resolve().is_relative_to(mount[0])]
    return max(within, key=lambda mount: len(mount[0].parts))[1] if within else "-"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, model = line.partition(":")
        if name.strip() == "model name":
            return model.strip()
    return platform.machine()


def _postgresql() -> str:
    try:
        return _said([str(find_programs().postgres), "--version"], 2)
    except ConfigurationError:
        return "-"


def _redis() -> str:
    try:
        return _said([str(find_program()), "--version"], 2).removeprefix("v=")
    except ConfigurationError:
        return "-"


def _said(command: list[str], word: int) -> str:
    """A word of what a program says of its version."""
    environment = {"PATH": os.defpath, "LC_ALL": "C"}
    done = Program(command=command, environment=environment, folder=Path(sys.prefix)).run(_ASK_SECONDS)
    words = done.stdout.split()
    return words[word] if done.returncode == 0 and len(words) > abs(word) else "-"


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "-"
