"""Files as they are named on a command line: themselves, and folders with all that is in them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple


class Named(NamedTuple):
    """A file, and the name it is shown by: with its folder, where that was given."""

    path: Path
    label: str


def named_files(paths: Sequence[Path]) -> Iterator[Named]:
    """Files as given, folders with all that is in them; hidden files are left out."""
    for path in paths:
        if not path.is_dir():
            yield Named(path, path.name)
            continue
        for file in sorted(path.rglob("*")):
            within = file.relative_to(path)
            if file.is_file() and not any(part.startswith(".") for part in within.parts):
                yield Named(file, within.as_posix())
