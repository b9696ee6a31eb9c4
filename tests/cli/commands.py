"""Running commands in this process, as `generation-service` would, and what they left behind."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from generation_service import cli

_VARIABLES = (
    "API_URL",
    "API_TOKEN",
    "API_TOKENS",
    "DATABASE_URL",
    "REDIS_URL",
    "HOST",
    "PORT",
    "LC_ALL",
    "LC_MESSAGES",
)


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended: its exit code and what it wrote."""

    code: int
    out: str
    err: str


class Commands:
    """Runs commands in `folder`, in English unless LANG is given, with no variables but those given."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str], folder: Path) -> None:
        self._patch = patch
        self._capture = capture
        patch.chdir(folder)

    def run(self, *arguments: str, given: Mapping[str, Any] | None = None) -> Ran:
        for name in _VARIABLES:
            self._patch.delenv(name, raising=False)
        for name, value in {"LANG": "C.UTF-8", "REDIS_PORT": "1", **(given or {})}.items():
            self._patch.setenv(name, str(value))
        with pytest.raises(SystemExit) as exit_:
            cli.main(arguments)
        out, err = self._capture.readouterr()
        return Ran(int(exit_.value.code or 0), out, err)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Commands:
    return Commands(monkeypatch, capsys, tmp_path)
