"""What goes on, read from the database and from Redis directly, so that it can be told with the API down."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from redis.exceptions import RedisError
from sqlalchemy import Connection, func, select

from generation_service.database import Database, db_now
from generation_service.database.tables import documents, jobs, leases
from generation_service.jobs.queries import count_by_status, oldest_waiting_seconds
from generation_service.jobs.routing import current_mode
from generation_service.settings import Settings
from generation_service.switching.ledger import Ledger
from workers.names import QUEUES, intermediate_key, queue_key, started_key
from workers.redis_connection import connect
from workers.rq_view import RedisView

_RUNNING_SHOWN = 20
_WORKERS_KEY = "rq:workers"

Report: TypeAlias = dict[str, Any]


def overview(settings: Settings, database: Database) -> Report:
    """The whole report, as JSON holds it. Raises DatabaseUnavailable; Redis being away is part of the report."""
    told = {"at": datetime.now(UTC).isoformat(), **database.read_now(_from_database), "redis": _from_redis(settings)}
    return {**told, "ledger": _ledger(settings, database)}


def _from_database(connection: Connection) -> Report:
    now = connection.execute(select(db_now())).scalar_one()
    counted: dict[str, dict[str, int]] = defaultdict(dict)
    for (backend, status), number in count_by_status(connection).items():
        counted[backend][status] = number
    return {
        "mode": _mode(connection),
        "jobs": counted,
        "oldest_waiting_seconds": round(oldest_waiting_seconds(connection, now), 1),
        "running": _running(connection, now),
        "documents": _count(connection, documents.c.status),
        "leaders": _leaders(connection, now),
    }


def _mode(connection: Connection) -> Report | None:
    mode = current_mode(connection)
    if mode is None:
        return None
    return {
        "type": mode.target,
        "worker_system_enabled": mode.enabled,
        "since": mode.since.isoformat(),
        "source": mode.source,
        "reason": mode.reason,
    }


def _running(connection: Connection, now: datetime) -> list[Report]:
    rows = connection.execute(
        select(jobs.c.id, jobs.c.backend, jobs.c.holder, jobs.c.progress, jobs.c.lease_until, jobs.c.started_at)
        .where(jobs.c.status == "running")
        .order_by(jobs.c.id)
        .limit(_RUNNING_SHOWN)
    )
    return [
        {
            "job_id": row.id,
            "backend": row.backend,
            "holder": row.holder,
            "progress": row.progress,
            "running_seconds": _age(row.started_at, now),
            "lease_left_seconds": -_age(row.lease_until, now) if row.lease_until else None,
        }
        for row in rows
    ]


def _leaders(connection: Connection, now: datetime) -> Mapping[str, str]:
    held = connection.execute(select(leases.c.name, leases.c.holder).where(leases.c.until > now))
    return {row.name: row.holder for row in held}


def _count(connection: Connection, column: Any) -> Mapping[str, int]:
    return {row[0]: row[1] for row in connection.execute(select(column, func.count()).group_by(column))}


def _age(since: datetime | None, now: datetime) -> float:
    return round((now - since).total_seconds(), 1) if since else 0.0


@dataclass(frozen=True, slots=True)
class _Redis:
    client: Any

    def queues(self) -> Report:
        """What waits, what a worker has just popped, and what runs, by queue."""
        return {
            name: {
                "waiting": self.client.llen(queue_key(name)),
                "popped": self.client.llen(intermediate_key(name)),
                "running": self.client.zcard(started_key(name)),
            }
            for name in QUEUES
        }

    def workers(self) -> list[Report]:
        """Each worker that RQ has registered, as its own hash describes it."""
        keys = sorted(key.decode() for key in self.client.smembers(_WORKERS_KEY))
        found = [(key, self.client.hgetall(key)) for key in keys]
        return [
            _worker(key, {name.decode(): value.decode() for name, value in raw.items()}) for key, raw in found if raw
        ]


def _from_redis(settings: Settings) -> Report:
    client = connect(settings.redis_address, timeout_seconds=settings.redis_timeout_seconds)
    found = _Redis(client)
    try:
        suspended = bool(client.exists("rq:suspended"))
        return {"reachable": True, "suspended": suspended, "queues": found.queues(), "workers": found.workers()}
    except RedisError as error:
        return {"reachable": False, "error": type(error).__name__}
    finally:
        client.close()


def _ledger(settings: Settings, database: Database) -> Report:
    """Whether everything that was accepted is accounted for."""
    view = RedisView(settings.redis_address, timeout_seconds=settings.redis_timeout_seconds)
    try:
        return asyncio.run(Ledger(database=database, view=view).check()).as_json()
    finally:
        view.close()


def _worker(key: str, described: Mapping[str, str]) -> Report:
    return {
        "name": key.rpartition(":")[2],
        "state": described.get("state"),
        "queues": [name for name in described.get("queues", "").split(",") if name],
        "host": described.get("hostname"),
        "pid": int(described["pid"]) if described.get("pid", "").isdecimal() else None,
        "last_heartbeat": described.get("last_heartbeat"),
        "succeeded": int(described.get("successful_job_count", 0)),
        "failed": int(described.get("failed_job_count", 0)),
    }
