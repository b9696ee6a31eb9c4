"""Files as they are named on a command line: themselves, and folders with all that is in them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple


class Named(NamedTuple):
    """A file, and the name it is shown by: with its folder, where that was given."""

    path: Path
    label: str


def in_utf8(text: str) -> str:
    """The text as it can be sent and printed: what is no UTF-8 in a name from an older system becomes `?`."""
    return text.encode("utf-8", "replace").decode()


def named_files(paths: Sequence[Path]) -> Iterator[Named]:
    """Files as given, folders with all that is in them; hidden files are left out."""
    for path in paths:
        if not path.is_dir():
            yield Named(path, in_utf8(path.name))
            continue
        for file in sorted(path.rglob("*")):
            within = file.relative_to(path)
            if file.is_file() and not any(part.startswith(".") for part in within.parts):
                yield Named(file, in_utf8(within.as_posix()))
