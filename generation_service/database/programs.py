"""The tables of programs: batches of files, each file in exactly one state, and the retries of those that failed."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from generation_service.database.tables import metadata
from generation_service.database.types import UtcDateTime

_OPEN = text("settled_at IS NULL")
_RETRIABLE = text("status = 'failed' AND error_class = 'transient' AND quarantined_at IS NULL")
_UNFINISHED = text("status <> 'completed'")
_UNDER_WAY = text("completed_at IS NULL")

programs = Table(
    "programs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("user_id", String(200), nullable=False),
    Column("project_id", String(200), nullable=False),
    Column("use_multimodal", Boolean, nullable=False),
    Column("file_count", Integer, nullable=False),  # of its files, for ever
    Column("idempotency_key", String(255)),
    Column("fingerprint", String(64)),  # SHA-256 of what the key stands for
    Column("created_at", UtcDateTime, nullable=False),
    Column("at_once_due_at", UtcDateTime),  # when files that failed for a passing reason are tried again
    Column("settled_at", UtcDateTime),  # null: somebody must look at it now and then
    Column("deleted_at", UtcDateTime),  # a soft deletion: nobody sees it any more
    UniqueConstraint("user_id", "idempotency_key"),
    Index("ix_programs_user_id", "user_id", "id"),
    Index("ix_programs_open", "id", postgresql_where=_OPEN, sqlite_where=_OPEN),
)

program_files = Table(
    "program_files",
    metadata,
    Column("program_id", String(36), ForeignKey("programs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),  # from 0, as the files came: the API's `index`
    Column("file_name", Text, nullable=False),  # a label, never a path: the API's `file_path`
    Column("file_type", String(16)),  # null: turned away at the door
    Column("file_size", BigInteger, nullable=False),
    Column("sha256", String(64)),
    Column("job_id", String(36), unique=True),  # null: turned away, there is nothing to run
    Column("document_id", String(36), index=True),  # null: turned away, or deleted since
    Column("duplicate_of", String(36)),  # a document of the project with the same content
    Column("status", String(16), nullable=False),
    Column("stage", String(16), nullable=False),  # the one it is in, or failed in: preprocessing, document
    Column("code", String(64)),
    Column("error", Text),
    Column("error_class", String(16)),  # transient, permanent
    Column("artefact_key", Text),  # where preprocessing left what it had read
    Column("runs", Integer, nullable=False),  # claims of its job that ended, retries included: the API's `attempts`
    Column("seconds", Float, nullable=False),  # what it cost so far: time of processing
    Column("tokens", BigInteger, nullable=False),  # and of an embedding model
    Column("retry_count", Integer, nullable=False),  # by whomever
    Column("auto_retry_count", Integer, nullable=False),  # by the schedule
    Column("at_once_retried", Boolean, nullable=False, server_default=false()),
    Column("retry_id", String(36)),  # the retry it is under; null: under none
    Column("quarantined_at", UtcDateTime),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),  # when it completed or failed last
    CheckConstraint("status IN ('pending', 'processing', 'completed', 'failed')", name="status"),
    CheckConstraint("stage IN ('preprocessing', 'document')", name="stage"),
    Index("ix_program_files_status", "program_id", "status", "position"),
    Index("ix_program_files_retriable", "ended_at", postgresql_where=_RETRIABLE, sqlite_where=_RETRIABLE),
    Index("ix_program_files_unfinished", "status", postgresql_where=_UNFINISHED, sqlite_where=_UNFINISHED),
)

program_retries = Table(
    "program_retries",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("program_id", String(36), ForeignKey("programs.id", ondelete="CASCADE"), nullable=False),
    Column("retry_type", String(16), nullable=False),  # all, preprocessing, document
    Column("source", String(16), nullable=False),  # user, at_once, hourly, daily
    Column("created_at", UtcDateTime, nullable=False),
    Column("completed_at", UtcDateTime),  # once each of its files has an outcome
    Index("ix_program_retries_program_id", "program_id", "id"),
    Index("ix_program_retries_under_way", "id", postgresql_where=_UNDER_WAY, sqlite_where=_UNDER_WAY),
    Index("ix_program_retries_created_at", "created_at"),
)

program_retry_files = Table(
    "program_retry_files",
    metadata,
    Column("retry_id", String(36), ForeignKey("program_retries.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("stage", String(16), nullable=False),  # the one it had failed in
    Column("outcome", String(16)),  # success, failed, skipped; null: under way
    Column("reason", String(64)),  # why it was skipped
    CheckConstraint("outcome IN ('success', 'failed', 'skipped')", name="outcome"),
)
