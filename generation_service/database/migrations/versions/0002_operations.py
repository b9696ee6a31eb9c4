"""Operations: gradual roll-forward, processes, switches, restarts, users' reports and the audit."""

import sqlalchemy as sa
from alembic import op

from generation_service.database.types import Json, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_UNDER_WAY = sa.text("status = 'running'")
_ROLLOUT = ("worker_mode", "environment_flags")
_TABLES = ("audit", "processes", "restarts", "switches", "user_reports")


def upgrade() -> None:
    for name in _ROLLOUT:
        op.add_column(name, sa.Column("rollout_percent", sa.SmallInteger(), server_default="100", nullable=False))
        op.add_column(name, sa.Column("rollout_projects", Json, server_default="[]", nullable=False))
    _create_audit()
    _create_processes()
    _create_restarts()
    _create_switches()
    _create_user_reports()


def downgrade() -> None:
    for name in reversed(_TABLES):
        op.drop_table(name)
    for name in _ROLLOUT:
        with op.batch_alter_table(name) as table:
            table.drop_column("rollout_projects")
            table.drop_column("rollout_percent")


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("request", Json, nullable=False),
        sa.Column("outcome", sa.String(length=64), nullable=False),
        sa.Column("result", Json, nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_audit"),
    )


def _create_processes() -> None:
    op.create_table(
        "processes",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("supervisor", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("figures", Json, nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_processes"),
    )
    op.create_index("ix_processes_ended_at", "processes", ["ended_at"])


def _create_restarts() -> None:
    op.create_table(
        "restarts",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("supervisor", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("said_by", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("before", Json, nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("completed_at", UtcDateTime(), nullable=True),
        sa.Column("error", Json, nullable=True),
        sa.Column("processes", Json, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_restarts"),
    )
    op.create_index("ix_restarts_requested_at", "restarts", ["requested_at"])
    op.create_index(
        "ux_restarts_running",
        "restarts",
        ["supervisor"],
        unique=True,
        postgresql_where=_UNDER_WAY,
        sqlite_where=_UNDER_WAY,
    )


def _create_switches() -> None:
    op.create_table(
        "switches",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("said_by", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("holder", sa.String(length=200), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("report", Json, nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("completed_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_switches"),
    )
    op.create_index(
        "ux_switches_running",
        "switches",
        ["status"],
        unique=True,
        postgresql_where=_UNDER_WAY,
        sqlite_where=_UNDER_WAY,
    )


def _create_user_reports() -> None:
    op.create_table(
        "user_reports",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=200), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_user_reports"),
    )
    op.create_index("ix_user_reports_created_at", "user_reports", ["created_at"])
