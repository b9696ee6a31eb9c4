"""`.env.example` says what the settings say."""

import re
from pathlib import Path

import pytest

from generation_service.settings import Settings, load_settings
from scripts import env_example


def test_the_example_file_is_the_one_the_settings_make() -> None:
    assert env_example.TARGET.read_text(encoding="utf-8") == env_example.example()


def test_the_check_notices_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env_example, "TARGET", tmp_path / ".env.example")
    assert env_example.main(["--check"]) == 1

    assert env_example.main([]) == 0
    assert env_example.main(["--check"]) == 0


def test_taking_every_comment_sign_off_leaves_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an environment without any of the variables, and a .env made of the whole example
    names = [name.upper() for name in Settings.model_fields]
    for name in names:
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / ".env"
    file.write_text(re.sub(r"^#(?=[A-Z])", "", env_example.example(), flags=re.MULTILINE), encoding="utf-8")

    # Then it names every variable, and reading it changes nothing
    assert re.findall(r"^([A-Z][A-Z0-9_]*)=", file.read_text(encoding="utf-8"), flags=re.MULTILINE) == names
    assert load_settings(file) == load_settings(None)
