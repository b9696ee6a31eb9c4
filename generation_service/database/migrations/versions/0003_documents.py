"""Documents and programs: batches of files with their retries, vectors, alerts, and what is to be deleted."""

import sqlalchemy as sa
from alembic import op

from generation_service.database.types import Json, UtcDateTime, Vector
from generation_service.errors import ConfigurationError

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# The names that programs outside know them by.
_RENAMED = {
    "status": "processing_status",
    "error": "processing_error",
    "started_at": "processing_started_at",
    "completed_at": "processing_completed_at",
}
# What the version before knows no kind of: their jobs would wait, and be submitted, for ever.
_KINDS = "('program_file', 'program_retries', 'reindex')"
_TABLES = (
    "alerts",
    "doomed_objects",
    "generation_sources",
    "index_generations",
    "chunk_vectors",
    "programs",
    "program_files",
    "program_retries",
    "program_retry_files",
)


def upgrade() -> None:
    op.drop_index("ix_documents_status", table_name="documents")
    for before, after in _RENAMED.items():
        op.execute(f"ALTER TABLE documents RENAME COLUMN {before} TO {after}")
    op.add_column("documents", sa.Column("use_multimodal", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("documents", sa.Column("program_id", sa.String(length=36), nullable=True))
    op.create_index("ix_documents_processing_status", "documents", ["processing_status"])
    op.create_index("ix_documents_project_sha256", "documents", ["project_id", "sha256"])
    op.create_index("ix_documents_user_size", "documents", ["user_id", "file_size"])
    _create_alerts()
    _create_doomed_objects()
    _create_generation_sources()
    _create_index_generations()
    _create_chunk_vectors()
    _create_programs()
    _create_program_files()
    _create_program_retries()
    _create_program_retry_files()


def downgrade() -> None:
    _refuse_live_jobs()
    op.execute(f"DELETE FROM schedules WHERE kind IN {_KINDS}")
    for name in reversed(_TABLES):
        op.drop_table(name)
    for name in ("ix_documents_user_size", "ix_documents_project_sha256", "ix_documents_processing_status"):
        op.drop_index(name, table_name="documents")
    for name in ("program_id", "use_multimodal"):
        op.drop_column("documents", name)
    for before, after in _RENAMED.items():
        op.execute(f"ALTER TABLE documents RENAME COLUMN {after} TO {before}")
    op.create_index("ix_documents_status", "documents", ["status"])


def _refuse_live_jobs() -> None:
    live = f"SELECT count(*) FROM jobs WHERE kind IN {_KINDS} AND status IN ('pending', 'running')"
    count = op.get_bind().execute(sa.text(live)).scalar_one()
    if count:
        raise ConfigurationError(
            f"{count} jobs of kinds {_KINDS[1:-1]} wait or run, which the version before does not know: "
            "let them end or cancel them, stop the service, and try again; nothing was changed"
        )


def _create_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("fingerprint", sa.String(length=200), nullable=False),
        sa.Column("detail", Json, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("told_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        sa.UniqueConstraint("fingerprint", name="uq_alerts_fingerprint"),
    )
    op.create_index(
        "ix_alerts_due",
        "alerts",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    )


def _create_doomed_objects() -> None:
    op.create_table(
        "doomed_objects",
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("rounds", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("prefix", name="pk_doomed_objects"),
    )


def _create_generation_sources() -> None:
    op.create_table(
        "generation_sources",
        sa.Column("document_id", sa.String(length=36), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("document_id", "job_id", name="pk_generation_sources"),
    )


def _create_index_generations() -> None:
    op.create_table(
        "index_generations",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("activated_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("status IN ('building', 'active', 'retired')", name="ck_index_generations_status"),
        sa.PrimaryKeyConstraint("id", name="pk_index_generations"),
    )
    op.create_index(
        "ix_index_generations_in_use",
        "index_generations",
        ["status"],
        unique=True,
        postgresql_where=sa.text("status IN ('building', 'active')"),
        sqlite_where=sa.text("status IN ('building', 'active')"),
    )


def _create_chunk_vectors() -> None:
    op.create_table(
        "chunk_vectors",
        sa.Column("generation_id", sa.String(length=36), nullable=False),
        sa.Column("chunk_id", sa.String(length=64), nullable=False),
        sa.Column("vector", Vector, nullable=False),
        sa.ForeignKeyConstraint(["chunk_id"], ["chunks.id"], name="fk_chunk_vectors_chunk_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["generation_id"], ["index_generations.id"], name="fk_chunk_vectors_generation_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("generation_id", "chunk_id", name="pk_chunk_vectors"),
    )
    op.create_index("ix_chunk_vectors_chunk_id", "chunk_vectors", ["chunk_id"], unique=False)


def _create_programs() -> None:
    op.create_table(
        "programs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=200), nullable=False),
        sa.Column("project_id", sa.String(length=200), nullable=False),
        sa.Column("use_multimodal", sa.Boolean(), nullable=False),
        sa.Column("file_count", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("at_once_due_at", UtcDateTime(), nullable=True),
        sa.Column("settled_at", UtcDateTime(), nullable=True),
        sa.Column("deleted_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_programs"),
        sa.UniqueConstraint("user_id", "idempotency_key", name="uq_programs_user_id_idempotency_key"),
    )
    op.create_index(
        "ix_programs_open",
        "programs",
        ["id"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NULL"),
        sqlite_where=sa.text("settled_at IS NULL"),
    )
    op.create_index("ix_programs_user_id", "programs", ["user_id", "id"], unique=False)


def _create_program_files() -> None:
    op.create_table(
        "program_files",
        sa.Column("program_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("file_type", sa.String(length=16), nullable=True),
        sa.Column("file_size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("job_id", sa.String(length=36), nullable=True),
        sa.Column("document_id", sa.String(length=36), nullable=True),
        sa.Column("duplicate_of", sa.String(length=36), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("error_class", sa.String(length=16), nullable=True),
        sa.Column("artefact_key", sa.Text(), nullable=True),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("retry_count", sa.Integer(), nullable=False),
        sa.Column("auto_retry_count", sa.Integer(), nullable=False),
        sa.Column("at_once_retried", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("retry_id", sa.String(length=36), nullable=True),
        sa.Column("quarantined_at", UtcDateTime(), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("stage IN ('preprocessing', 'document')", name="ck_program_files_stage"),
        sa.CheckConstraint(
            "status IN ('pending', 'processing', 'completed', 'failed')", name="ck_program_files_status"
        ),
        sa.ForeignKeyConstraint(
            ["program_id"], ["programs.id"], name="fk_program_files_program_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("program_id", "position", name="pk_program_files"),
        sa.UniqueConstraint("job_id", name="uq_program_files_job_id"),
    )
    op.create_index("ix_program_files_document_id", "program_files", ["document_id"], unique=False)
    op.create_index(
        "ix_program_files_retriable",
        "program_files",
        ["ended_at"],
        unique=False,
        postgresql_where=sa.text("status = 'failed' AND error_class = 'transient' AND quarantined_at IS NULL"),
        sqlite_where=sa.text("status = 'failed' AND error_class = 'transient' AND quarantined_at IS NULL"),
    )
    op.create_index("ix_program_files_status", "program_files", ["program_id", "status", "position"], unique=False)
    op.create_index(
        "ix_program_files_unfinished",
        "program_files",
        ["status"],
        unique=False,
        postgresql_where=sa.text("status <> 'completed'"),
        sqlite_where=sa.text("status <> 'completed'"),
    )


def _create_program_retries() -> None:
    op.create_table(
        "program_retries",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("program_id", sa.String(length=36), nullable=False),
        sa.Column("retry_type", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("completed_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["program_id"], ["programs.id"], name="fk_program_retries_program_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_program_retries"),
    )
    op.create_index("ix_program_retries_created_at", "program_retries", ["created_at"], unique=False)
    op.create_index("ix_program_retries_program_id", "program_retries", ["program_id", "id"], unique=False)
    op.create_index(
        "ix_program_retries_under_way",
        "program_retries",
        ["id"],
        unique=False,
        postgresql_where=sa.text("completed_at IS NULL"),
        sqlite_where=sa.text("completed_at IS NULL"),
    )


def _create_program_retry_files() -> None:
    op.create_table(
        "program_retry_files",
        sa.Column("retry_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.CheckConstraint("outcome IN ('success', 'failed', 'skipped')", name="ck_program_retry_files_outcome"),
        sa.ForeignKeyConstraint(
            ["retry_id"], ["program_retries.id"], name="fk_program_retry_files_retry_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("retry_id", "position", name="pk_program_retry_files"),
    )
