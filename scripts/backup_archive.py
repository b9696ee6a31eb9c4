"""The archive of a backup: one tar file whose last member, the manifest, says what the others are."""

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from generation_service.errors import ConfigurationError
from scripts.tool import say

FORMAT = 1

DATABASE = "database"
MANIFEST = "manifest.json"
OBJECTS = "objects/"
_TOLD = {"created_at": str, "engine": str, "schema": str, "figures": dict}
_MANIFEST_BYTES = 1024 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Member:
    """What was put into an archive under `name`."""

    name: str
    size: int
    sha256: str


@dataclass(kw_only=True)
class Manifest:
    """What an archive says of itself."""

    about: dict[str, Any]  # created_at, schema, engine, figures
    members: list[Member] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        """The keys of the objects."""
        return [one.name.removeprefix(OBJECTS) for one in self.members if one.name.startswith(OBJECTS)]

    @property
    def size(self) -> int:
        return sum(one.size for one in self.members)


class Writer:
    """Adds files to an archive that is not yet there under its name."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.members: list[Member] = []

    def add(self, name: str, path: Path) -> Member:
        """Add the file at `path`."""
        digest = hashlib.sha256()
        entry = tarfile.TarInfo(name)
        entry.size = path.stat().st_size
        with path.open("rb") as content:
            self._tar.addfile(entry, _Hashed(content, digest))
        member = Member(name, entry.size, digest.hexdigest())
        self.members.append(member)
        return member

    def close(self, about: dict[str, Any]) -> Manifest:
        """Add the manifest: without it an archive is none."""
        manifest = Manifest(about=about, members=self.members)
        told = {"format": FORMAT, **about, "members": [[one.name, one.size, one.sha256] for one in self.members]}
        content = json.dumps(told, ensure_ascii=False, indent=1).encode()
        entry = tarfile.TarInfo(MANIFEST)
        entry.size = len(content)
        self._tar.addfile(entry, io.BytesIO(content))
        return manifest


class _Hashed(io.RawIOBase):
    """A file that is hashed while it is read."""

    def __init__(self, content: IO[bytes], digest: Any) -> None:
        self._content = content
        self._digest = digest

    def read(self, size: int = -1) -> bytes:
        piece = self._content.read(size)
        self._digest.update(piece)
        return piece


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """An archive that is at `path`, whole and on the disk, when the context ends well, and else not at all.

    Raises ConfigurationError where somebody else's is there by then: of several at once one succeeds.
    """
    # New, and its owner's alone: it holds everything that people wrote.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                yield Writer(tar)
            file.flush()
            os.fsync(file.fileno())
        _publish(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _publish(part: Path, path: Path) -> None:
    """Give what is whole its name, never that of another file."""
    try:
        try:
            os.link(part, path)
        except FileExistsError:
            raise
        except OSError:  # a disk that knows no second name
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            part.replace(path)
        else:
            part.unlink()
    except FileExistsError as error:
        raise ConfigurationError(say("backup.file_exists", path=path)) from error


def verified(path: Path) -> Manifest:
    """Read the whole archive and compare it with its manifest. Raises ConfigurationError: nothing was touched."""
    found: list[Member] = []
    told: dict[str, Any] | None = None
    with _reading(path) as tar:
        for entry, content in _files(tar):
            if entry.name == MANIFEST and told is None and entry.size <= _MANIFEST_BYTES:
                told = _parsed(content.read())
            else:
                found.append(Member(entry.name, entry.size, _digest(content)))
    if told is None or told.pop("format", None) != FORMAT:
        raise ConfigurationError(say("restore.no_backup"))
    listed = told.pop("members")
    if listed != [[one.name, one.size, one.sha256] for one in found] or not _is_ours(told, found):
        raise ConfigurationError(say("restore.damaged"))
    return Manifest(about=told, members=found)


def _is_ours(about: dict[str, Any], members: Sequence[Member]) -> bool:
    """Whether these are a database and objects, by names that lead nowhere else, and the manifest says what it must."""
    names = [one.name for one in members]
    keys = [name.removeprefix(OBJECTS) for name in names if name.startswith(OBJECTS)]
    return (
        all(isinstance(about.get(name), kind) for name, kind in _TOLD.items())
        and names.count(DATABASE) == 1
        and len(keys) + 1 == len(names) == len({*names})
        and not any({"", ".", ".."} & {*key.split("/")} for key in keys)
    )


@contextmanager
def extracted(path: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """The members of an archive that was verified, one after the other, by name."""
    with _reading(path) as tar:
        yield ((entry.name, content) for entry, content in _files(tar))


@contextmanager
def _reading(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, "r:") as tar:
            yield tar
    except (tarfile.TarError, EOFError) as error:
        raise ConfigurationError(say("restore.no_backup")) from error
    except FileNotFoundError as error:
        raise ConfigurationError(say("restore.no_file")) from error


def _files(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    while (entry := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined] # an archive of a million objects is read with the memory of one
        content = tar.extractfile(entry) if entry.isfile() else None
        if content is None:
            raise ConfigurationError(say("restore.damaged"))
        yield entry, content


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(content)
    except ValueError:
        return None
    return told if isinstance(told, dict) and isinstance(told.get("members"), list) else None


def _digest(content: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := content.read(_PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()
