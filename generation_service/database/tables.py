"""The tables of jobs, documents and episodes: the description from which queries and migrations are written."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from generation_service.database.types import Json, UtcDateTime, Vector, Word

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

_IN_USE = text("status IN ('building', 'active')")
_DUE = text("due_at IS NOT NULL")
_PENDING = text("status = 'pending'")
_UNDELIVERED = text("status = 'pending' AND delivered_at IS NULL")
_RUNNING = text("status = 'running'")
_LIVE = text("status IN ('pending', 'running')")
_FELL_THROUGH = text("status IN ('cancelled', 'failed')")
_ENDED = text("completed_at IS NOT NULL")
_OPEN = text("resolved_at IS NULL")

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(36), primary_key=True),  # UUIDv7: ids sort by time of acceptance
    Column("kind", String(32), nullable=False),  # generation, document, prune, ...
    Column("recipe", String(64)),
    Column("project_id", String(200)),
    Column("user_id", String(200), nullable=False),
    Column("request", Json, nullable=False),
    Column("priority", SmallInteger, nullable=False),  # 0 high, 1 default, 2 low
    Column("backend", String(32), nullable=False),
    Column("status", Word(16), nullable=False),
    Column("fence", BigInteger, nullable=False),  # raised by whoever takes the job from its holder (I3)
    Column("seq", BigInteger, nullable=False),  # number of the last event (I6)
    Column("failures", Integer, nullable=False),  # attempts used up (I5)
    Column("max_attempts", Integer, nullable=False),
    Column("steps_since_claim", Integer, nullable=False),  # 0: a crash now uses up an attempt
    Column("claims", Integer, nullable=False),
    Column("holder", String(200)),
    Column("lease_until", UtcDateTime),
    Column("due_at", UtcDateTime),  # null: at once
    Column("delivery", Integer, nullable=False),  # number of the last delivery, part of the RQ id
    Column("delivered_at", UtcDateTime),  # null: to be delivered
    Column("progress", Float, nullable=False),
    Column("budget_tokens", BigInteger),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("saved_tokens", BigInteger, nullable=False),
    Column("error", Json),  # {code, message, retryable}
    Column("result", Json),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
    CheckConstraint("status IN ('pending', 'running', 'completed', 'failed', 'cancelled')", name="status"),
    CheckConstraint("failures <= max_attempts", name="attempts"),
    # A job's row is written a dozen times; only its status is in an index, so that all other updates stay in place.
    Index("ix_jobs_pull", "backend", "priority", "id", postgresql_where=_PENDING, sqlite_where=_PENDING),
    Index("ix_jobs_waiting", "id", postgresql_where=_PENDING, sqlite_where=_PENDING),
    Index("ix_jobs_undelivered", "id", postgresql_where=_UNDELIVERED, sqlite_where=_UNDELIVERED),
    Index("ix_jobs_running", "id", postgresql_where=_RUNNING, sqlite_where=_RUNNING),
    Index("ix_jobs_live_user", "user_id", "kind", "status", "id", postgresql_where=_LIVE, sqlite_where=_LIVE),
    Index("ix_jobs_user", "user_id", "kind", "id"),
    Index("ix_jobs_project", "project_id", "kind", "id"),
    Index(
        "ix_jobs_fell_through",  # rare among what has ended, and looked for
        *("user_id", "kind", "status", "id"),
        postgresql_where=_FELL_THROUGH,
        sqlite_where=_FELL_THROUGH,
    ),
    Index("ix_jobs_ended", "completed_at", "id", postgresql_where=_ENDED, sqlite_where=_ENDED),
)

steps = Table(
    "steps",
    metadata,
    Column("job_id", String(36), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("ordinal", SmallInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("fence", BigInteger, nullable=False),  # of the claim that wrote this row last
    Column("first_sequence", BigInteger, nullable=False),  # of the event of its first start: what `discard_after` says
    Column("started_at", UtcDateTime, nullable=False),
    Column("completed_at", UtcDateTime),
    Column("reason", Text),
    Column("error", Json),
    Column("output", Json),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("job_id", String(36), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("type", String(16), nullable=False),
    Column("data", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    postgresql_partition_by="RANGE (job_id)",  # by month of acceptance: see `database/partitions.py`
)

usage = Table(
    "usage",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("job_id", String(36), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("step", String(64), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("model", String(200)),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", String(200), primary_key=True),
    Column("route", String(64), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),  # SHA-256, hexadecimal
    Column("job_id", String(36), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
)

# Rows that only ever grow, spread over shards so that no two transactions need wait for one row.
counters = Table(
    "counters",
    metadata,
    Column("name", String(32), primary_key=True),  # accepted, ended, reopened
    Column("shard", SmallInteger, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# How many jobs have ended, and how many were pruned (a `status` of its own), counted by the database itself
# whoever writes: triggers of the fourth migration. Each connection has a row of its own, so that none waits.
job_tallies = Table(
    "job_tallies",
    metadata,
    Column("status", String(16), primary_key=True),
    Column("backend", String(32), primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
)

# What the processes of the service have counted, added up; see `database/totals.py`.
metric_totals = Table(
    "metric_totals",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("labels", String(255), primary_key=True),  # JSON: pairs of name and value, sorted
    Column("value", Float, nullable=False),
)

pruned_jobs = Table(
    "pruned_jobs",
    metadata,
    Column("job_id", String(36), primary_key=True),  # what answers 410
    Column("pruned_at", UtcDateTime, nullable=False),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("job_id", String(36), index=True),  # null: an entry in Redis that the database does not know
    Column("origin", String(200), nullable=False),  # jobs, or the name of the queue it lay in
    Column("reason", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("raw", LargeBinary),
    Column("fingerprint", String(80), unique=True),  # of the job and its fence, or SHA-256 of what was found: kept once
    Column("created_at", UtcDateTime, nullable=False),
    Column("resolved_at", UtcDateTime),
    Index("ix_dead_letters_open", "id", postgresql_where=_OPEN, sqlite_where=_OPEN),
)

projects = Table(
    "projects",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("user_id", String(200), nullable=False),  # who used the id first: it is nobody else's
    Column("episode_count", Integer, nullable=False),  # raised in the transaction that saves an episode
    Column("created_at", UtcDateTime, nullable=False),
)

episodes = Table(
    "episodes",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(200), ForeignKey("projects.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("job_id", String(36), nullable=False, unique=True),  # I2: one episode a job
    Column("recipe", String(64), nullable=False),
    Column("title", Text, nullable=False),
    Column("language", String(8), nullable=False),
    Column("generator", String(200), nullable=False),
    Column("content", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("project_id", "number"),
)

documents = Table(
    "documents",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(200), nullable=False),
    Column("user_id", String(200), nullable=False),
    Column("job_id", String(36), nullable=False, index=True),
    Column("file_name", Text, nullable=False),  # a label, never a path
    Column("file_type", String(16), nullable=False),
    Column("file_size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("object_key", Text, nullable=False),
    Column("use_multimodal", Boolean, nullable=False, server_default=false()),  # whether images of text are read, too
    Column("program_id", String(36)),  # null: uploaded by itself
    Column("processing_status", String(16), key="status", nullable=False),
    Column("progress", Float, nullable=False),
    Column("held_by", String(36)),  # the job that reads it: its own, or a generation that needs it now
    Column("code", String(64)),
    Column("processing_error", Text, key="error"),
    Column("pages", Integer),
    Column("characters", BigInteger),
    Column("language", String(8)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("processing_started_at", UtcDateTime, key="started_at"),
    Column("processing_completed_at", UtcDateTime, key="completed_at"),
    Index("ix_documents_project_id", "project_id", "id"),
    Index("ix_documents_project_sha256", "project_id", "sha256"),
    Index("ix_documents_user_id", "user_id", "id"),
    Index("ix_documents_user_size", "user_id", "file_size"),  # covers what a user's limit is compared with
    Index("ix_documents_processing_status", "status"),
    CheckConstraint("processing_status IN ('pending', 'processing', 'completed', 'failed')", name="status"),
)

# What was written from which document: `DELETE` says it, long after the job was pruned.
generation_sources = Table(
    "generation_sources",
    metadata,
    Column("document_id", String(36), primary_key=True),
    Column("job_id", String(36), primary_key=True),
)

# Objects whose rows are gone: deleted by whoever comes by, and once more later, since a run that had been fenced
# may have been writing one at that time.
doomed_objects = Table(
    "doomed_objects",
    metadata,
    Column("prefix", Text, primary_key=True),
    Column("rounds", Integer, nullable=False),  # of deletion so far
    Column("due_at", UtcDateTime, nullable=False),
)

# What somebody is to be told; written in the transaction that makes it true, told afterwards.
alerts = Table(
    "alerts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("type", String(32), nullable=False),  # see `jobs.alerts`
    Column("subject", String(200), nullable=False),  # id of the job, document or program
    Column("fingerprint", String(200), nullable=False, unique=True),  # the same thing is told once
    Column("detail", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime),  # null: told, or given up
    Column("tries", Integer, nullable=False),
    Column("told_at", UtcDateTime),
    Index("ix_alerts_due", "due_at", postgresql_where=_DUE, sqlite_where=_DUE),
)

# `tokens` holds our own 2-gram tokens, space separated. SQLite mirrors it into the FTS5 table
# `chunk_index`, PostgreSQL into the generated column `token_vector` (see the first migration).
chunks = Table(
    "chunks",
    metadata,
    Column("rowid", Integer().with_variant(BigInteger(), "postgresql"), primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),  # content-addressed: indexing again changes nothing
    Column("project_id", String(200), nullable=False, index=True),
    Column("source_kind", String(16), nullable=False),  # document, or job: what a generation has learned
    Column("source_id", String(36), nullable=False, index=True),
    Column("label", Text, nullable=False),  # what a citation shows: the file's name, or the episode's title
    Column("ordinal", Integer, nullable=False),
    Column("heading", Text),
    Column("page", Integer),
    Column("text", Text, nullable=False),
    Column("tokens", Text, nullable=False),
    Column("token_count", Integer, nullable=False),
    Column("tokenizer", String(32), nullable=False),
)

# One model and one dimension each. Searches use the active one while another is being built.
index_generations = Table(
    "index_generations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("model", String(200), nullable=False),
    Column("dimension", Integer),  # null until the first vector has come
    Column("status", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("activated_at", UtcDateTime),
    CheckConstraint("status IN ('building', 'active', 'retired')", name="status"),
    Index(
        "ix_index_generations_in_use", "status", unique=True, postgresql_where=_IN_USE, sqlite_where=_IN_USE
    ),  # one that is active, one that is being built
)

chunk_vectors = Table(
    "chunk_vectors",
    metadata,
    Column("generation_id", String(36), ForeignKey("index_generations.id", ondelete="CASCADE"), primary_key=True),
    Column("chunk_id", String(64), ForeignKey("chunks.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("vector", Vector, nullable=False),  # of length 1
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(200), nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Column("taken_at", UtcDateTime, nullable=False),
)

schedules = Table(
    "schedules",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("cron", String(100), nullable=False),
    Column("timezone", String(64), nullable=False),
    Column("kind", String(32), nullable=False),  # of the job that a firing submits
    Column("request", Json, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("next_due_at", UtcDateTime, nullable=False),
)

firings = Table(
    "firings",
    metadata,
    Column("schedule_id", String(64), primary_key=True),
    Column("due_at", UtcDateTime, primary_key=True),
    Column("job_id", String(36), nullable=False),
    Column("fired_by", String(200), nullable=False),
    Column("fired_at", UtcDateTime, nullable=False),
)

service_state = Table(
    "service_state",
    metadata,
    Column("name", String(64), primary_key=True),  # paused, ...
    Column("value", Json, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

stream_tickets = Table(
    "stream_tickets",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of the ticket
    Column("user_id", String(200), nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)
