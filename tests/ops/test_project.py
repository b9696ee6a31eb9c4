"""What holds for the project as a whole: its lock files, its variables, its names."""

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = sorted(Path().glob("requirements*.lock"))
PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
SOURCES = [*Path("generation_service").rglob("*.py"), *Path("workers").rglob("*.py")]
READERS_OF_THE_ENVIRONMENT = {Path("generation_service/settings/telling.py")}


def locked(lock: str) -> dict[str, str]:
    """The versions that a lock file names."""
    found = re.findall(r"^([a-z0-9][a-z0-9.-]*)==(\S+)", Path(lock).read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_file_names_hashes_and_no_place(lock: Path) -> None:
    lines = [line for line in lock.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]

    pinned = [index for index, line in enumerate(lines) if "==" in line and not line.startswith(" ")]
    assert pinned
    assert all("--hash=sha256:" in lines[index + 1] for index in pinned)
    assert not any(word in line for line in lines for word in ("://", "file:", "--index", "--find"))


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        ("requirements.lock", PROJECT["dependencies"]),
        ("requirements-dev.lock", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]),
        ("requirements-bench.lock", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["bench"]),
    ],
)
def test_a_lock_file_has_what_the_project_asks_for(lock: str, requirements: list[str]) -> None:
    versions = locked(lock)

    for requirement in map(Requirement, requirements):
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier, requirement


@pytest.mark.parametrize("lock", ["requirements-dev.lock", "requirements-bench.lock"])
def test_the_service_is_tested_and_measured_with_the_versions_that_it_runs_with(lock: str) -> None:
    assert locked("requirements.lock").items() <= locked(lock).items()


def test_only_the_settings_read_the_environment() -> None:
    readers = {path for path in SOURCES if path not in READERS_OF_THE_ENVIRONMENT and any(_reads(path))}

    assert readers == set()


def _reads(path: Path) -> Iterator[ast.AST]:
    """The places in a module that read the environment: os.getenv, os.environ[...], os.environ.get and the like."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr="getenv" | "getenvb"):
                yield node
            case ast.Subscript(value=ast.Attribute(attr="environ"), ctx=ast.Load()):
                yield node
            case ast.Attribute(value=ast.Attribute(attr="environ"), attr=name) if name not in {"update", "pop"}:
                yield node


def test_every_line_of_the_procfile_is_a_command_that_there_is() -> None:
    commands = import_module("generation_service.cli").COMMANDS

    lines = dict(line.split(": ") for line in Path("Procfile").read_text(encoding="utf-8").splitlines())

    assert lines.keys() == {"web", "worker", "scheduler"}
    assert {command.removeprefix("generation-service ") for command in lines.values()} <= set(commands)


def test_each_dependency_has_its_reason() -> None:
    written = Path("ops/DEPENDENCIES.md").read_text(encoding="utf-8")
    asked = [*PROJECT["dependencies"], *(one for extra in PROJECT["optional-dependencies"].values() for one in extra)]

    assert [name for name in (Requirement(one).name for one in asked) if f"| {name} |" not in written] == []
