"""Starts a script afresh as a module of the project, in the project's own environment: for who ran it as a file."""

import os
import sys
from pathlib import Path
from typing import NoReturn


def as_module(file: str) -> NoReturn:
    """Put `python -m scripts.NAME` in this process's place, with the same arguments."""
    root = Path(__file__).resolve().parents[1]
    own = root / ".venv" / "bin" / "python"
    python = str(own) if own.exists() else sys.executable
    places = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    os.execve(python, [python, "-m", f"scripts.{Path(file).stem}", *sys.argv[1:]], environment)  # noqa: S606 - no shell is wanted
