"""The dashboard of a rollback, again and again: what stands behind `ops/watch.sh`.

Reads the database and Redis directly, and asks the API only whether it answers. Changes nothing.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from generation_service.bootstrap import Runtime, build
from generation_service.database import Database
from generation_service.errors import ConfigurationError, DatabaseUnavailable, ServiceError
from generation_service.jobs.model import BACKENDS
from generation_service.jobs.queries import count_by_status
from generation_service.jobs.routing import current_mode
from generation_service.settings import load_settings
from generation_service.switching.processes import alive
from generation_service.telemetry import configure_logging
from scripts.arguments import seconds
from scripts.existing_database import close, open_existing
from scripts.tool import DONE, INTERRUPTED, LEFT, WRONG_USE, say, show, show_json, tell
from scripts.verification.findings import Missed
from scripts.verification.limits import MEGABYTE
from scripts.verification.service import Service

_PATIENCE_SECONDS = 3.0

Look = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Look until Ctrl+C, or once; the exit code."""
    asked = read_arguments(arguments)
    try:
        settings = load_settings()
        configure_logging(settings.log_format, "error")
        runtime = build(settings, "tool")
    except ConfigurationError as error:
        tell(error.message)
        return WRONG_USE
    service = Service.of(settings, patience_seconds=_PATIENCE_SECONDS)
    try:
        return asyncio.run(watch(runtime, service, asked))
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        service.close()
        with suppress(DatabaseUnavailable):  # the same on SQLite: see scripts/existing_database.py
            runtime.close()


async def watch(runtime: Runtime, service: Service, asked: argparse.Namespace) -> int:
    """Look and tell, `asked.interval` seconds apart; with `--once` whether the database could be read."""
    while True:
        seen = await look(runtime, service)
        if asked.json:
            show_json(seen)
        else:
            show("\n".join(lines(seen)))
        sys.stdout.flush()
        if asked.once:
            return DONE if seen["database"] == "ok" else LEFT
        await asyncio.sleep(asked.interval)


async def look(runtime: Runtime, service: Service) -> Look:
    """Everything the dashboard shows; what cannot be read is None."""
    seen: Look = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "api": await asyncio.to_thread(_api, service)}
    seen |= {"redis": await asyncio.to_thread(_redis, runtime), "database": "unreachable"}
    seen |= {"mode": None, "jobs": None, "processes": [], "ledger": None, "triggers": None}
    if not await asyncio.to_thread(_there, runtime):
        return seen
    try:
        seen |= {"database": "ok", **await runtime.database.read(_stored)}
    except DatabaseUnavailable:
        return seen
    seen["ledger"] = await _asked(_ledger, runtime)
    seen["triggers"] = await _asked(_triggers, runtime)
    return seen


def lines(seen: Look) -> list[str]:
    """One look, for a person."""
    if seen["database"] != "ok":
        return [say("watch.title", at=seen["at"]), say("watch.no_database"), _api_line(seen["api"])]
    jobs: Mapping[str, Mapping[str, int]] = seen["jobs"]
    return [
        say("watch.title", at=seen["at"]),
        _mode_line(seen["mode"]),
        _api_line(seen["api"]),
        *(say("watch.jobs", backend=one, **jobs[one]) for one in BACKENDS),
        say("watch.memory", processes=_memory(seen["processes"])),
        say("watch.workers", **_workers(seen["processes"])),
        _redis_line(seen["redis"]),
        say("watch.ledger", **seen["ledger"]) if seen["ledger"] else say("watch.no_ledger"),
        *(_trigger_line(one) for one in seen["triggers"] or () if not one["off"]),
    ]


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; exits with 2 where it is wrong."""
    parser = argparse.ArgumentParser("ops/watch.sh", description=say("watch.help.about"))
    parser.add_argument("--once", action="store_true", help=say("watch.help.once"))
    parser.add_argument("--interval", type=seconds, default=10.0, metavar="SECONDS", help=say("watch.help.interval"))
    parser.add_argument("--json", action="store_true", help=say("watch.help.json"))
    return parser.parse_args(arguments)


def _api(service: Service) -> Look:
    began = time.monotonic()
    try:
        status = service.answer_status("/readyz")
    except Missed:
        return {"url": service.url, "status": None, "seconds": None}
    return {"url": service.url, "status": status, "seconds": round(time.monotonic() - began, 3)}


def _redis(runtime: Runtime) -> Mapping[str, int] | None:
    try:
        return runtime.rq.queue_depths()
    except ConnectionError:
        return None


def _there(runtime: Runtime) -> bool:
    """Whether there is a database of ours: looking must not make one."""
    found: Database | None = open_existing(runtime.settings)
    if found is not None:
        close(found)
    return found is not None


def _stored(connection: Connection) -> Look:
    mode = current_mode(connection)
    counted = count_by_status(connection)
    told = None
    if mode is not None:
        told = {"type": mode.target, "enabled": mode.enabled, "since": mode.since.isoformat(timespec="seconds")}
        told |= {"source": mode.source, "said_by": mode.said_by, "reason": mode.reason}
    return {
        "mode": told,
        "jobs": {one: {status: counted.get((one, status), 0) for status in ("pending", "running")} for one in BACKENDS},
        "processes": [
            {"role": one.role, "state": one.state, "host": one.host, "pid": one.pid, "figures": one.figures}
            for one in alive(connection)
        ],
    }


async def _asked(ask: Callable[[Runtime], Awaitable[Any]], runtime: Runtime) -> Any:
    try:
        return await ask(runtime)
    except ServiceError:
        return None


async def _ledger(runtime: Runtime) -> Mapping[str, Any]:
    return (await runtime.operations.ledger.check()).as_json()


async def _triggers(runtime: Runtime) -> Sequence[Mapping[str, Any]]:
    return await runtime.operations.triggers.view()


def _mode_line(mode: Look | None) -> str:
    return say("watch.mode", **mode) if mode else say("watch.no_mode")


def _api_line(api: Look) -> str:
    return say("watch.api", **api) if api["status"] else say("watch.no_api", **api)


def _redis_line(depths: Mapping[str, int] | None) -> str:
    if depths is None:
        return say("watch.no_redis")
    return say("watch.queues", queues=", ".join(f"{name} {depth}" for name, depth in depths.items()))


def _memory(processes: Sequence[Look]) -> str:
    told = [f"{one['role']} {one['pid']}: {one['figures'].get('rss_bytes', 0) / MEGABYTE:.0f} MB" for one in processes]
    return ", ".join(told) or "-"


def _workers(processes: Sequence[Look]) -> Mapping[str, int]:
    states = [one["state"] for one in processes if one["role"] == "worker"]
    standby = states.count("standby")
    return {"working": len(states) - standby, "standby": standby}


def _trigger_line(one: Mapping[str, Any]) -> str:
    states = {"over": one["over"], "advice": one["advice_only"], "dry_run": one["dry_run"], "armed": one["armed"]}
    state = next((name for name, holds in states.items() if holds), "idle")
    return say("watch.trigger", **one, state=say(f"watch.trigger.{state}"))


if __name__ == "__main__":
    sys.exit(main())
