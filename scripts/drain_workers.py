"""Ends RQ worker processes, warm first: what stands behind `ops/drain-workers.sh`.

What runs in them goes on for their grace, then is given back at its last step. Twice equals once. Undo: start workers.
"""

import argparse
import json
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from generation_service.database import Database
from generation_service.errors import ConfigurationError, DatabaseUnavailable
from generation_service.settings import Settings, load_settings
from generation_service.switching.processes import alive
from scripts.arguments import seconds
from scripts.existing_database import close, open_existing
from scripts.tool import DONE, INTERRUPTED, LEFT, WRONG_USE, say, show, show_json, tell
from scripts.worker_processes import Trace, WorkerProcess, find, pid_files, wait
from workers.redis_connection import Client, connect

ROOT = Path(__file__).resolve().parents[1]

_WORKERS_KEY = "rq:workers"
_CHANNEL = "rq:pubsub:{}"  # RQ's own: where it sends a worker its commands
_SHUTDOWN = json.dumps({"command": "shutdown"})
_CLOSING_SECONDS = 20.0  # beyond its jobs' grace, for its pools and its interpreter
_KILLED_SECONDS = 5.0
_PAUSE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Registered:
    """A worker in RQ's registry."""

    name: str
    host: str
    pid: int
    born: datetime


@dataclass
class Outcome:
    """What became of the workers that were found; each list holds `host:pid`, or a name in RQ."""

    found: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    redis: str = "ok"

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


def main(arguments: Sequence[str] | None = None) -> int:
    """End them and say what became of each; the exit code."""
    try:
        settings = load_settings()
        asked = read_arguments(arguments, settings)
        outcome = drain(settings, asked)
    except ConfigurationError as error:
        tell(error.message)
        return WRONG_USE
    except KeyboardInterrupt:
        return INTERRUPTED
    if asked.json:
        show_json({"dry_run": asked.dry_run, **outcome.as_json()})
    else:
        _say(outcome, dry_run=asked.dry_run)
    return LEFT if outcome.left and not asked.dry_run else DONE


def drain(settings: Settings, asked: argparse.Namespace) -> Outcome:
    """Find the workers of this host and of others, and end them."""
    host = socket.gethostname()
    client = connect(settings.redis_address, timeout_seconds=settings.redis_timeout_seconds)
    outcome = Outcome()
    here: list[WorkerProcess] = []
    try:
        registered = _registered(client, outcome)
        here = find([*pid_files(asked.run_folder), *_rows(settings, host), *_of_this_host(registered, host)])
        elsewhere = [] if asked.this_host else [one for one in registered if one.host != host]
        outcome.found = [f"{host}:{one.pid}" for one in here] + [f"{one.host}:{one.pid}" for one in elsewhere]
        if not asked.dry_run:
            deadline = time.monotonic() + asked.grace
            _ask_to_end(client, here, elsewhere)
            _end_here(here, host, asked, outcome)
            _wait_elsewhere(client, elsewhere, deadline, outcome)
    finally:
        for process in here:
            process.close()
        client.close()
    return outcome


def read_arguments(arguments: Sequence[str] | None, settings: Settings) -> argparse.Namespace:
    """Read the command line; exits with 2 where it is wrong."""
    grace = settings.shutdown_grace_seconds + _CLOSING_SECONDS
    about, exit_codes = say("drain_workers.help.about"), say("drain_workers.help.exit_codes")
    parser = argparse.ArgumentParser("ops/drain-workers.sh", description=about, epilog=exit_codes)
    for flag in ("force", "this_host", "dry_run", "json"):
        told = say(f"drain_workers.help.{flag}")
        parser.add_argument(f"--{flag.replace('_', '-')}", action="store_true", help=told)
    told = say("drain_workers.help.grace", seconds=f"{grace:g}")
    parser.add_argument("--grace", type=seconds, default=grace, metavar="SECONDS", help=told)
    folder = say("drain_workers.help.run_folder")
    parser.add_argument("--run-folder", type=Path, default=ROOT / "var" / "run", metavar="FOLDER", help=folder)
    return parser.parse_args(arguments)


def _rows(settings: Settings, host: str) -> list[Trace]:
    """The worker processes of this host by their rows; none where the database cannot be read."""
    database: Database | None = open_existing(settings)
    if database is None:
        return []
    try:
        workers = database.read_now(lambda connection: alive(connection, "worker"))
    except DatabaseUnavailable:
        return []
    finally:
        close(database)
    return [Trace(pid=one.pid, source="row", at=one.started_at) for one in workers if one.host == host]


def _registered(client: Client, outcome: Outcome) -> list[Registered]:
    """Who is in RQ's registry; nobody where Redis does not answer."""
    try:
        keys = sorted(client.smembers(_WORKERS_KEY))
        found = [(key.decode(), client.hgetall(key)) for key in keys]
    except RedisError:
        outcome.redis = "unreachable"
        return []
    return [one for key, raw in found for one in _read(key, raw)]


def _read(key: str, raw: Mapping[bytes, bytes]) -> Iterator[Registered]:
    told = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in raw.items()}
    if told.get("pid", "").isdecimal() and told.get("hostname"):
        yield Registered(key.rpartition(":")[2], told["hostname"], int(told["pid"]), _born(told.get("birth", "")))


def _born(said: str) -> datetime:
    try:
        born = datetime.fromisoformat(said)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)  # nobody was there then, so nobody is signalled for it
    return born if born.tzinfo else born.replace(tzinfo=UTC)


def _of_this_host(registered: Sequence[Registered], host: str) -> Iterator[Trace]:
    return (Trace(pid=one.pid, source="rq", at=one.born) for one in registered if one.host == host)


def _ask_to_end(client: Client, here: Sequence[WorkerProcess], elsewhere: Sequence[Registered]) -> None:
    for process in here:
        process.end(signal.SIGTERM)
    for worker in elsewhere:
        try:
            client.publish(_CHANNEL.format(worker.name), _SHUTDOWN)
        except RedisError:
            return  # what waits for them will say that they are left


def _end_here(here: Sequence[WorkerProcess], host: str, asked: argparse.Namespace, outcome: Outcome) -> None:
    left = wait(here, asked.grace)
    outcome.ended += [f"{host}:{one.pid}" for one in here if one not in left]
    if asked.force:
        killed = [one for one in left if one.end(signal.SIGKILL)]
        still = wait(killed, _KILLED_SECONDS)
        outcome.killed += [f"{host}:{one.pid}" for one in killed if one not in still]
        left = [one for one in left if one.alive]
    outcome.left += [f"{host}:{one.pid}" for one in left]


def _wait_elsewhere(client: Client, elsewhere: Sequence[Registered], deadline: float, outcome: Outcome) -> None:
    """The registry says who is gone: nothing else reaches another host."""
    left = list(elsewhere)
    while left:
        left = [one for one in left if _is_registered(client, one)]
        if time.monotonic() >= deadline:
            break
        time.sleep(_PAUSE_SECONDS)
    outcome.ended += [f"{one.host}:{one.pid}" for one in elsewhere if one not in left]
    outcome.left += [f"{one.host}:{one.pid}" for one in left]


def _is_registered(client: Client, worker: Registered) -> bool:
    try:
        return bool(client.sismember(_WORKERS_KEY, f"rq:worker:{worker.name}"))
    except RedisError:
        return True  # not known to be gone


def _say(outcome: Outcome, *, dry_run: bool) -> None:
    if outcome.redis != "ok":
        tell(say("drain_workers.no_redis"))
    if not outcome.found:
        show(say("drain_workers.none"))
    for name in ("found",) if dry_run else ("ended", "killed", "left"):
        for one in getattr(outcome, name):
            show(say(f"drain_workers.{name}", worker=one))


if __name__ == "__main__":
    sys.exit(main())
