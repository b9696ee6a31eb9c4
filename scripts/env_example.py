"""Write `.env.example` from the settings: `python -m scripts.env_example` (`--check` only compares)."""

import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from generation_service.settings import Settings
from generation_service.settings.documents import DocumentSettings

TARGET = Path(__file__).resolve().parents[1] / ".env.example"
_WIDTH = 100
_HEAD = """\
# Every variable that the service reads, with its default. Generated from generation_service/settings by
# `python -m scripts.env_example`: change it there. Copy this file to .env and take the # off what you set.
"""


def example() -> str:
    """The text of `.env.example`: the settings' sections, each variable with what it means."""
    sections = _sections()
    parts = [_HEAD]
    for name, field in Settings.model_fields.items():
        if name in sections:
            parts.append(f"\n# --- {sections[name]} ---\n")
        parts.append("\n".join(_lines(name, field)) + "\n")
    return "\n".join(parts)


def _sections() -> dict[str, str]:
    """The section that begins at a field, by the field's name: the comments between the fields of the class."""
    sections: dict[str, str] = {}
    heading = ""
    for line in (inspect.getsource(Settings) + inspect.getsource(DocumentSettings)).splitlines():
        if found := re.fullmatch(r"    # (.+)", line):
            heading = found[1]
        elif (found := re.match(r"    ([a-z0-9_]+): ", line)) and heading:
            sections[found[1]] = heading
            heading = ""
    return sections


def _lines(name: str, field: FieldInfo) -> Iterator[str]:
    yield from textwrap.wrap(str(field.description), _WIDTH, initial_indent="# ", subsequent_indent="# ")
    if takes := ", ".join(_takes(field)):
        yield f"# ({takes})"
    yield f"#{name.upper()}={_shown(field.default)}"


def _takes(field: FieldInfo) -> Iterator[str]:
    """What a value must be: one of a few words, or within limits."""
    if get_origin(field.annotation) is Literal:
        yield "one of " + ", ".join(get_args(field.annotation))
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    for limit in field.metadata:
        for name, word in words.items():
            if getattr(limit, name, None) is not None:
                yield f"{word} {getattr(limit, name)}"


def _shown(default: object) -> str:
    if default is None or default is PydanticUndefined:
        return ""
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return json.dumps(default) if isinstance(default, bool) else str(default)


def main(arguments: Sequence[str]) -> int:
    """Write the file, or with `--check` say whether it is as it should be: 0 it is, 1 it is not."""
    if list(arguments) == ["--check"]:
        current = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
        if current == example():
            return 0
        sys.stderr.write("run python -m scripts.env_example: .env.example is not what the settings say\n")
        return 1
    TARGET.write_text(example(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
