"""Saves the database and all objects in one archive, while the service runs: what stands behind `ops/backup.sh`.

The database first, then the objects: a row names only what is stored already. Undo: remove the file.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from generation_service.database import Database
from generation_service.database.tables import documents
from generation_service.errors import ConfigurationError
from generation_service.objects import ObjectMissing, ObjectStore
from generation_service.settings import Settings, load_settings
from scripts.backup_archive import DATABASE, OBJECTS, Manifest, Writer, writing
from scripts.backup_database import PostgresTools, dump
from scripts.backup_figures import figures
from scripts.backup_telling import ended, tell_figures
from scripts.existing_database import close, open_existing
from scripts.tool import DONE, LEFT, say, show, show_json, tell

ROOT = Path(__file__).resolve().parents[1]

_AT_ONCE = 8
_NAMED_AT_ONCE = 500


@dataclass(kw_only=True)
class Outcome:
    """What a backup holds, and what it could not hold."""

    path: Path
    manifest: Manifest
    deleted: list[str] = field(default_factory=list)  # while it was made; nobody misses them
    lost: list[str] = field(default_factory=list)  # a document names it, and the store does not have it

    def as_json(self) -> dict[str, Any]:
        told = {"file": str(self.path), **self.manifest.about, "objects": len(self.manifest.keys)}
        return {**told, "bytes": self.manifest.size, "deleted_meanwhile": self.deleted, "lost": self.lost}


def main(arguments: Sequence[str] | None = None) -> int:
    """Make it and say what it holds; the exit code."""
    asked = read_arguments(arguments)
    return ended(lambda: _main(asked))


def _main(asked: argparse.Namespace) -> int:
    settings = load_settings()
    path = _path(asked)
    database = open_existing(settings)
    if database is None:
        raise ConfigurationError(say("migration.no_database"))
    try:
        return _plan(database, path, asked) if asked.dry_run else _run(settings, database, path, asked)
    finally:
        close(database)


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; exits with 2 where it is wrong."""
    parser = argparse.ArgumentParser(
        "ops/backup.sh", description=say("backup.help.about"), epilog=say("backup.help.exit_codes")
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help=say("backup.help.file"))
    parser.add_argument("--pg-bin", type=Path, metavar="FOLDER", help=say("backup.help.pg_bin"))
    parser.add_argument("--from-folder", type=Path, default=Path(), help=argparse.SUPPRESS)  # where FILE is meant
    for flag in ("dry_run", "json"):
        parser.add_argument(f"--{flag.replace('_', '-')}", action="store_true", help=say(f"backup.help.{flag}"))
    return parser.parse_args(arguments)


async def back_up(settings: Settings, database: Database, path: Path, tools: PostgresTools) -> Outcome:
    """Write the archive at `path`. Raises ConfigurationError, DatabaseUnavailable, TransientError, OSError."""
    objects = ObjectStore.open(settings.storage_url, endpoint_url=settings.s3_endpoint_url)
    about: dict[str, Any] = {"created_at": datetime.now(UTC).isoformat(timespec="seconds"), "engine": database.dialect}
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".backup-") as scratch, writing(path) as writer:
        file = Path(scratch) / "database"
        dumped = await asyncio.to_thread(dump, database, file, tools)
        await asyncio.to_thread(writer.add, DATABASE, file)
        file.unlink()
        deleted = [key async for key in _add_objects(writer, objects, Path(scratch))]
        manifest = writer.close({**about, "schema": dumped.version, "figures": dumped.figures})
    missing = sorted({*dumped.sources} - {*manifest.keys})
    lost = await asyncio.to_thread(_still_named, database, missing)
    deleted += [key for key in missing if key not in lost and key not in deleted]
    return Outcome(path=path, manifest=manifest, deleted=deleted, lost=lost)


async def _add_objects(writer: Writer, objects: ObjectStore, scratch: Path) -> AsyncIterator[str]:
    """Add all there are; yields the keys of those that went away meanwhile."""
    keys = sorted([key async for key in objects.keys("")])
    for some in _batches(keys, _AT_ONCE):
        files = [scratch / str(number) for number in range(len(some))]
        there = await asyncio.gather(*(_downloaded(objects, key, file) for key, file in zip(some, files, strict=True)))
        for key, file, is_there in zip(some, files, there, strict=True):
            if is_there:
                await asyncio.to_thread(writer.add, OBJECTS + key, file)
                file.unlink()
            else:
                yield key


async def _downloaded(objects: ObjectStore, key: str, file: Path) -> bool:
    try:
        await objects.download(key, file)
    except ObjectMissing:
        return False
    return True


def _still_named(database: Database, keys: Sequence[str]) -> list[str]:
    """Which of these a row still names: they are not deleted, they are lost."""
    found: list[str] = []
    for some in _batches(keys, _NAMED_AT_ONCE):
        found += database.read_now(partial(_named, some))
    return found


def _named(keys: Sequence[str], connection: Connection) -> Sequence[str]:
    return connection.execute(select(documents.c.object_key).where(documents.c.object_key.in_(keys))).scalars().all()


def _batches(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (keys[begin : begin + size] for begin in range(0, len(keys), size))


def _run(settings: Settings, database: Database, path: Path, asked: argparse.Namespace) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    outcome = asyncio.run(back_up(settings, database, path, PostgresTools(asked.pg_bin)))
    if asked.json:
        show_json(outcome.as_json())
    else:
        show(say("backup.done", path=path, megabytes=f"{outcome.manifest.size / 1e6:.1f}"))
        tell_figures(outcome.manifest.about["figures"], len(outcome.manifest.keys))
        for name in ("deleted", "lost"):
            for key in getattr(outcome, name):
                tell(say(f"backup.{name}", object=key))
    return LEFT if outcome.lost else DONE


def _plan(database: Database, path: Path, asked: argparse.Namespace) -> int:
    found = database.read_now(figures)
    if asked.json:
        show_json({"dry_run": True, "file": str(path), "engine": database.dialect, "figures": found})
    else:
        show(say("backup.would", path=path))
        tell_figures(found, None)
    return DONE


def _path(asked: argparse.Namespace) -> Path:
    name = f"generation-{datetime.now(UTC):%Y%m%d-%H%M%S}.tar"
    path: Path = asked.from_folder / asked.file if asked.file else ROOT / "var" / "backups" / name
    if path.exists():
        raise ConfigurationError(say("backup.file_exists", path=path))
    return path


if __name__ == "__main__":
    sys.exit(main())
