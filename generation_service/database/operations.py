"""The tables of operations: the mode and its history, who runs, what was switched, restarted, reported and audited."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

from generation_service.database.tables import metadata
from generation_service.database.types import Json, UtcDateTime

_UNDER_WAY = text("status = 'running'")

worker_mode = Table(
    "worker_mode",
    metadata,
    Column("epoch", BigInteger, primary_key=True),  # the highest is in force; the others are its history
    Column("backend", String(32), nullable=False),
    Column("enabled", Boolean, nullable=False),  # of the RQ part as a whole
    Column("carry", String(16), nullable=False),  # nothing, waiting, running
    Column(
        "rollout_percent", SmallInteger, nullable=False, server_default="100"
    ),  # of the projects, where RQ is wanted
    Column(
        "rollout_projects", Json, nullable=False, server_default="[]"
    ),  # those that go to RQ whatever the percentage
    Column("since", UtcDateTime, nullable=False),
    Column("said_by", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("source", String(32), nullable=False),  # environment, operator, trigger
)

environment_flags = Table(
    "environment_flags",
    metadata,
    Column("host", String(200), primary_key=True),
    Column("role", String(32), primary_key=True),
    Column("use_durable_worker", Boolean, nullable=False),
    Column("worker_system_enabled", Boolean, nullable=False),
    Column("rollout_percent", SmallInteger, nullable=False, server_default="100"),
    Column("rollout_projects", Json, nullable=False, server_default="[]"),
    Column("seen_at", UtcDateTime, nullable=False),
)

# One row for each process of the service that lives, or lately did; each writes its own.
processes = Table(
    "processes",
    metadata,
    Column("name", String(200), primary_key=True),  # begins every holder's name of this process
    Column("role", String(32), nullable=False),  # api, worker, scheduler
    Column("host", String(200), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("supervisor", String(64)),  # pid and start time of the supervisor that keeps it; null: nobody does
    Column("state", String(16), nullable=False),  # starting, serving, standby, draining, ended, crashed
    Column("figures", Json, nullable=False),  # memory, jobs under way, capacity: see switching/processes.py
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),  # said goodbye, or was missed and found crashed
    Index("ix_processes_ended_at", "ended_at"),
)

# One row for each switch of the mode that moves jobs; its report grows as it goes, and is kept.
switches = Table(
    "switches",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(16), nullable=False),  # rollback, rollforward
    Column("epoch", BigInteger, nullable=False),  # of the mode that it brought
    Column("status", String(16), nullable=False),  # running, completed, failed
    Column("source", String(32), nullable=False),  # operator, trigger
    Column("said_by", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("holder", String(200)),
    Column("lease_until", UtcDateTime),
    Column("report", Json, nullable=False),  # steps with their times, counts, evidence: see switching/reports.py
    Column("started_at", UtcDateTime, nullable=False),
    Column("completed_at", UtcDateTime),
    # At most one is under way.
    Index("ux_switches_running", "status", unique=True, postgresql_where=_UNDER_WAY, sqlite_where=_UNDER_WAY),
)

restarts = Table(
    "restarts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("supervisor", String(64), nullable=False),
    Column("host", String(200), nullable=False),
    Column("status", String(16), nullable=False),  # running, completed, failed
    Column("said_by", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("before", Json, nullable=False),  # names of the processes to be replaced
    Column("requested_at", UtcDateTime, nullable=False),
    Column("completed_at", UtcDateTime),
    Column("error", Json),
    Column("processes", Json),  # what became of each, once it is over: their own rows are pruned
    Index("ix_restarts_requested_at", "requested_at"),
    # At most one of a supervisor is under way.
    Index("ux_restarts_running", "supervisor", unique=True, postgresql_where=_UNDER_WAY, sqlite_where=_UNDER_WAY),
)

user_reports = Table(
    "user_reports",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("user_id", String(200), nullable=False),
    Column("job_id", String(36)),
    Column("message", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, index=True),
)

# A chain: each digest covers its entry and the digest before it, and the head is kept in `service_state`.
audit = Table(
    "audit",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("action", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("request", Json, nullable=False),
    Column("outcome", String(64), nullable=False),
    Column("result", Json, nullable=False),
    Column("previous", String(64), nullable=False),  # SHA-256, hexadecimal
    Column("digest", String(64), nullable=False),
)
