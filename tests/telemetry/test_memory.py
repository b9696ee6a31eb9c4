"""What is read of memory: the process's own, and of whatever limits it most."""

from pathlib import Path

import psutil
import pytest

from generation_service.telemetry.memory import MemoryUse, own_memory, system_memory

GIB = 1024**3


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A machine of 16 GiB of which 4 are taken."""
    folder = tmp_path / "proc"
    write(folder / "meminfo", f"MemTotal: {16 * GIB // 1024} kB\nMemFree: 1 kB\nMemAvailable: {12 * GIB // 1024} kB\n")
    return folder


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def group(folder: Path, version: int, *, limit: object, used: int, cache: int = 0) -> None:
    """The files of one memory group."""
    names = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")}
    most, current, inactive = names.get(version, ("memory.max", "memory.current", "inactive_file"))
    write(folder / most, f"{limit}\n")
    write(folder / current, f"{used}\n")
    write(folder / "memory.stat", f"anon 1\n{inactive} {cache}\n")


def test_a_process_knows_what_it_holds() -> None:
    assert own_memory() == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)


def test_this_machine_is_read_as_it_is() -> None:
    found = system_memory()

    assert 0 < found.used < found.limit <= psutil.virtual_memory().total


def test_without_a_group_the_machine_is_the_limit(proc: Path, tmp_path: Path) -> None:
    assert system_memory(proc, tmp_path / "none") == MemoryUse(4 * GIB, 16 * GIB)


def test_a_group_that_limits_goes_before_the_machine_and_its_cache_does_not_count(proc: Path, tmp_path: Path) -> None:
    write(proc / "self/cgroup", "0::/service/api\n")
    group(tmp_path / "cgroups/service/api", 2, limit=2 * GIB, used=GIB, cache=GIB // 2)

    found = system_memory(proc, tmp_path / "cgroups")

    assert found == MemoryUse(GIB // 2, 2 * GIB)
    assert found.percent == 25


def test_a_group_without_a_limit_is_no_limit(proc: Path, tmp_path: Path) -> None:
    write(proc / "self/cgroup", "0::/service\n4:memory:/service\n")
    group(tmp_path / "cgroups/service", 2, limit="max", used=GIB)
    group(tmp_path / "cgroups/memory/service", 1, limit=9223372036854771712, used=GIB)

    assert system_memory(proc, tmp_path / "cgroups").limit == 16 * GIB


def test_of_the_groups_around_a_process_the_one_that_is_fullest_counts(proc: Path, tmp_path: Path) -> None:
    write(proc / "self/cgroup", "5:cpu,memory:/outer/inner\n")
    group(tmp_path / "cgroups/memory/outer/inner", 1, limit=2 * GIB, used=GIB)
    group(tmp_path / "cgroups/memory/outer", 1, limit=4 * GIB, used=3 * GIB)

    assert system_memory(proc, tmp_path / "cgroups") == MemoryUse(3 * GIB, 4 * GIB)


def test_a_machine_that_says_nothing_breaks_nothing(tmp_path: Path) -> None:
    write(tmp_path / "self/cgroup", "0::/../..\n")

    assert own_memory(tmp_path) == 0
    assert system_memory(tmp_path, tmp_path) == MemoryUse(0, 0)
    assert MemoryUse(0, 0).percent == 0
