"""Puts a backup back into an empty machine: what stands behind `ops/restore.sh`.

Verified whole before anything is touched; the objects first, the database last and at once, so that cut off half-way
and run again equals once. Undo: a backup made before.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from sqlalchemy import delete
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from generation_service.bootstrap import open_database
from generation_service.database import Database, schema
from generation_service.database.operations import processes
from generation_service.errors import ConfigurationError, ServiceError
from generation_service.objects import ObjectStore
from generation_service.settings import Settings, load_settings
from generation_service.switching.processes import alive
from scripts.backup_archive import DATABASE, MANIFEST, OBJECTS, Manifest, extracted, verified
from scripts.backup_aside import ASIDE, anything_aside, bring_back
from scripts.backup_database import PostgresTools, load, server_version
from scripts.backup_figures import figures, holds_anything
from scripts.backup_telling import ended, tell_figures
from scripts.existing_database import close
from scripts.restore_unowned import doom_unowned
from scripts.tool import DONE, LEFT, say, show, show_json, tell

_PIECE_BYTES = 1024 * 1024
_SMALL_BYTES = 4 * 1024 * 1024
_AT_ONCE = 8


@dataclass(kw_only=True)
class Outcome:
    """What was found after the restoration, and what the manifest says of it."""

    manifest: Manifest
    found: dict[str, Any]
    objects: int
    schema: str
    unowned: int  # documents whose objects are there, and whose rows are not

    @property
    def equal(self) -> bool:
        return self.found == self.manifest.about["figures"] and self.objects == len(self.manifest.keys)

    def as_json(self) -> dict[str, Any]:
        told = {"created_at": self.manifest.about["created_at"], "schema": self.schema, "figures": self.found}
        return {**told, "objects": self.objects, "unowned": self.unowned, "equal": self.equal}


def main(arguments: Sequence[str] | None = None) -> int:
    """Restore and say what was found; the exit code."""
    asked = read_arguments(arguments)
    return ended(lambda: asyncio.run(_run(load_settings(), asked.from_folder / asked.file, asked)))


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; exits with 2 where it is wrong."""
    parser = argparse.ArgumentParser(
        "ops/restore.sh", description=say("restore.help.about"), epilog=say("restore.help.exit_codes")
    )
    parser.add_argument("file", type=Path, metavar="FILE", help=say("restore.help.file"))
    parser.add_argument("--pg-bin", type=Path, metavar="FOLDER", help=say("backup.help.pg_bin"))
    parser.add_argument("--from-folder", type=Path, default=Path(), help=argparse.SUPPRESS)  # where FILE is meant
    for flag in ("force", "dry_run", "json"):
        key = f"restore.help.{flag}" if flag != "json" else "backup.help.json"
        parser.add_argument(f"--{flag.replace('_', '-')}", action="store_true", help=say(key))
    return parser.parse_args(arguments)


async def restore(settings: Settings, path: Path, manifest: Manifest, tools: PostgresTools) -> Outcome:
    """Put what was verified in its place. Raises ServiceError, OSError."""
    objects = _objects(settings)
    with tempfile.TemporaryDirectory(prefix="restore-") as scratch:
        file = Path(scratch) / DATABASE
        await _put_objects(objects, path, manifest, file)
        database = open_database(settings)
        try:
            await asyncio.to_thread(load, database, file, tools)
            found = await database.read(figures)
            version = await asyncio.to_thread(schema.migrate, database)
            # Whoever served and ran jobs did so elsewhere: here they are no crashed ones, and none that are alive.
            await database.write(lambda connection: connection.execute(delete(processes)).rowcount)
            unowned = await database.write(partial(doom_unowned, keys=manifest.keys))
        finally:
            close(database)
    there = {key async for key in objects.keys("")}
    objects_there = len(there & {*manifest.keys})
    return Outcome(manifest=manifest, found=found, objects=objects_there, schema=version, unowned=unowned)


async def check(settings: Settings, manifest: Manifest, tools: PostgresTools, *, force: bool) -> None:
    """Whether this backup may go where the settings say. Raises ServiceError with the line that says why not."""
    newest, has = schema.newest_version(), str(manifest.about["schema"])
    if has > newest:
        raise ConfigurationError(say("restore.newer", schema=has, newest=newest))
    wanted = make_url(settings.database_url).get_backend_name()
    if manifest.about["engine"] != wanted:
        raise ConfigurationError(say("restore.other_engine", engine=manifest.about["engine"], wanted=wanted))
    await asyncio.to_thread(_check_database, settings, tools, force=force)
    keys = {*manifest.keys}
    others = [key async for key in _objects(settings).keys("") if key not in keys]
    if others and not force:
        raise ConfigurationError(say("restore.store_not_empty", count=len(others)))


def recover(settings: Settings) -> bool:
    """Put back what a restoration that was killed had set aside; whether there was anything. Raises ServiceError."""
    if make_url(settings.database_url).get_backend_name() == "sqlite":
        return False
    database = open_database(settings)
    try:
        return database.write_now(bring_back)
    finally:
        close(database)


def _check_database(settings: Settings, tools: PostgresTools, *, force: bool) -> None:
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return
    database = open_database(settings)
    try:
        if schema.current_version(database) and database.read_now(alive):
            raise ConfigurationError(say("restore.service_runs"))
        if database.dialect == "postgresql":
            _check_postgresql(database, tools)
        if not force and database.read_now(holds_anything):
            raise ConfigurationError(say("restore.database_not_empty"))
    except DBAPIError as error:  # it is broken: why somebody restores
        if not force:
            raise ConfigurationError(say("restore.database_not_empty")) from error
    finally:
        close(database)


def _check_postgresql(database: Database, tools: PostgresTools) -> None:
    if database.read_now(anything_aside):
        raise ConfigurationError(say("restore.cut_off", schema=ASIDE))
    tools.check("pg_restore", server_version(database))


async def _put_objects(objects: ObjectStore, path: Path, manifest: Manifest, database_file: Path) -> None:
    """Store every object of the archive, small ones several at once, and leave the database in a file."""
    wanted = {one.name: one for one in manifest.members}
    room = asyncio.Semaphore(_AT_ONCE)

    async def put_small(key: str, content: bytes) -> None:
        try:
            await objects.put_bytes(key, content)
        finally:
            room.release()

    with extracted(path) as members, _first_of_many():
        async with asyncio.TaskGroup() as putting:
            for name, content in members:
                key = name.removeprefix(OBJECTS)
                if name == DATABASE:
                    await asyncio.to_thread(_write, database_file, content)
                elif name != MANIFEST and wanted[name].size > _SMALL_BYTES:
                    await objects.put(key, _pieces(content))
                elif name != MANIFEST:
                    await room.acquire()
                    putting.create_task(put_small(key, content.read()))


@contextmanager
def _first_of_many() -> Iterator[None]:
    try:
        yield
    except ExceptionGroup as group:
        raise group.exceptions[0] from group


async def _pieces(content: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(content.read, _PIECE_BYTES):
        yield piece


def _write(path: Path, content: IO[bytes]) -> None:
    with path.open("xb") as file:
        while piece := content.read(_PIECE_BYTES):
            file.write(piece)


def _objects(settings: Settings) -> ObjectStore:
    return ObjectStore.open(settings.storage_url, endpoint_url=settings.s3_endpoint_url)


async def _run(settings: Settings, path: Path, asked: argparse.Namespace) -> int:
    manifest = await asyncio.to_thread(verified, path)
    if asked.dry_run:
        return await _plan(settings, manifest, asked)
    tools = PostgresTools(asked.pg_bin)
    if await asyncio.to_thread(recover, settings):
        tell(say("restore.brought_back"))
    await check(settings, manifest, tools, force=asked.force)
    outcome = await restore(settings, path, manifest, tools)
    if asked.json:
        show_json(outcome.as_json())
        return DONE if outcome.equal else LEFT
    show(say("restore.done", created_at=manifest.about["created_at"], schema=outcome.schema))
    tell_figures(outcome.found, outcome.objects)
    if outcome.unowned:
        show(say("restore.unowned", count=outcome.unowned))
    if outcome.equal:
        show(say("restore.equal"))
        return DONE
    tell(say("restore.different"))
    return LEFT


async def _plan(settings: Settings, manifest: Manifest, asked: argparse.Namespace) -> int:
    """Say what would be restored, and what would be in the way: a backup can be verified beside a running service."""
    obstacle = None
    try:
        await check(settings, manifest, PostgresTools(asked.pg_bin), force=asked.force)
    except ServiceError as error:
        obstacle = error.message
    if asked.json:
        told = {**manifest.about, "objects": len(manifest.keys), "bytes": manifest.size, "obstacle": obstacle}
        show_json({"dry_run": True, **told})
    else:
        show(say("restore.would", created_at=manifest.about["created_at"], schema=manifest.about["schema"]))
        tell_figures(manifest.about["figures"], len(manifest.keys))
    if obstacle and not asked.json:
        tell(obstacle)
    return LEFT if obstacle else DONE


if __name__ == "__main__":
    sys.exit(main())
