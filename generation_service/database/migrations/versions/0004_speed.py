"""Tables that stay fast: indexes for what is asked for, tallies of what has ended, events by month on PostgreSQL."""

from collections.abc import Iterable
from typing import Any, TypeAlias

import sqlalchemy as sa
from alembic import op

from generation_service.database import partitions
from generation_service.database.types import Json, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_PENDING = sa.text("status = 'pending'")
_UNDELIVERED = sa.text("status = 'pending' AND delivered_at IS NULL")
_LIVE = sa.text("status IN ('pending', 'running')")
_FELL_THROUGH = sa.text("status IN ('cancelled', 'failed')")
_ENDED = sa.text("completed_at IS NOT NULL")
_HAS_ENDED = "IN ('completed', 'failed', 'cancelled')"

_Described: TypeAlias = tuple[str, list[str], sa.TextClause | None]  # name, columns, of which rows
_DROPPED: tuple[_Described, ...] = (("ix_jobs_status", ["status", "id"], None),)
_BEFORE: tuple[_Described, ...] = (
    ("ix_jobs_ended", ["completed_at"], _ENDED),
    ("ix_jobs_live_user", ["user_id"], _LIVE),
    ("ix_jobs_project", ["project_id", "id"], None),
    ("ix_jobs_user", ["user_id", "id"], None),
)
_NOW: tuple[_Described, ...] = (
    ("ix_jobs_ended", ["completed_at", "id"], _ENDED),
    ("ix_jobs_live_user", ["user_id", "kind", "status", "id"], _LIVE),
    ("ix_jobs_project", ["project_id", "kind", "id"], None),
    ("ix_jobs_user", ["user_id", "kind", "id"], None),
)
_ADDED: tuple[_Described, ...] = (
    ("ix_jobs_waiting", ["id"], _PENDING),
    ("ix_jobs_undelivered", ["id"], _UNDELIVERED),
    ("ix_jobs_fell_through", ["user_id", "kind", "status", "id"], _FELL_THROUGH),
)

# A job's row is written a dozen times within seconds, and each of its versions needs a place on its page;
# what waits is looked for among what has just ceased to wait, so the dead are to be cleared away soon.
# (Measured with 400 jobs of eight steps: in place were 71 % of the updates of jobs and 7 % of those of steps
# on full pages, 80 % and 36 % on these; 82 % is all there can be, as two of a job's eleven change its status.)
_BUSY = "fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02"
_BUSY_NAMES = "fillfactor, autovacuum_vacuum_scale_factor, autovacuum_analyze_scale_factor"
_BUSY_TABLES = ("jobs", "steps")


def upgrade() -> None:
    _replace_indexes((*_DROPPED, *_BEFORE), (*_NOW, *_ADDED))
    op.create_index(
        "ix_dead_letters_open",
        "dead_letters",
        ["id"],
        postgresql_where=sa.text("resolved_at IS NULL"),
        sqlite_where=sa.text("resolved_at IS NULL"),
    )
    op.create_index("ix_stream_tickets_expires_at", "stream_tickets", ["expires_at"])
    _create_job_tallies()
    if op.get_bind().dialect.name == "sqlite":
        _run(_SQLITE_TRIGGERS)
        return
    _run(_POSTGRESQL_TRIGGERS)
    _run(f"ALTER TABLE {table} SET ({_BUSY})" for table in _BUSY_TABLES)
    _divide_events()


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _run(f"DROP TRIGGER {name}" for name in _SQLITE_TRIGGER_NAMES)
    else:
        _run(f"DROP FUNCTION {name}() CASCADE" for name in ("tally_jobs", "tally_pruned_jobs"))
        _run(f"ALTER TABLE {table} RESET ({_BUSY_NAMES})" for table in _BUSY_TABLES)
        _unite_events()
    op.drop_table("job_tallies")
    op.drop_index("ix_stream_tickets_expires_at", table_name="stream_tickets")
    op.drop_index("ix_dead_letters_open", table_name="dead_letters")
    _replace_indexes((*_NOW, *_ADDED), (*_DROPPED, *_BEFORE))


def _replace_indexes(gone: Iterable[_Described], come: Iterable[_Described]) -> None:
    for name, _, _ in gone:
        op.drop_index(name, table_name="jobs")
    for name, columns, where in come:
        op.create_index(name, "jobs", columns, postgresql_where=where, sqlite_where=where)


def _run(statements: Iterable[str]) -> None:
    for statement in statements:
        op.execute(statement)


def _create_job_tallies() -> None:
    op.create_table(
        "job_tallies",
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("backend", sa.String(length=32), nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("status", "backend", "shard", name="pk_job_tallies"),
    )
    ended = f"SELECT status, backend, 0, count(*) FROM jobs WHERE status {_HAS_ENDED} GROUP BY status, backend"
    op.execute(f"INSERT INTO job_tallies (status, backend, shard, value) {ended}")
    op.execute(
        "INSERT INTO job_tallies (status, backend, shard, value) SELECT 'pruned', '', 0, count(*) FROM pruned_jobs"
    )


# Triggers, so that a row is counted whoever writes it: the ledger holds these tallies against what the service
# says that it did, and a row that somebody deleted behind its back is to be missed.

_RAISED = "ON CONFLICT (status, backend, shard) DO UPDATE SET value = job_tallies.value + excluded.value"


def _tally(row: str, amount: int, shard: str = "0") -> str:
    values = f"SELECT {row}.status, {row}.backend, {shard}, {amount} WHERE {row}.status {_HAS_ENDED}"
    return f"INSERT INTO job_tallies (status, backend, shard, value) {values} {_RAISED};"


def _tally_pruned(amount: int, shard: str = "0") -> str:
    values = f"VALUES ('pruned', '', {shard}, {amount})"
    return f"INSERT INTO job_tallies (status, backend, shard, value) {values} {_RAISED};"


_MOVED = "(OLD.status <> NEW.status OR OLD.backend <> NEW.backend)"
_TOUCHES_THE_ENDED = f"(OLD.status {_HAS_ENDED} OR NEW.status {_HAS_ENDED})"

_SQLITE_TRIGGERS = (
    f"""CREATE TRIGGER jobs_tally_insert AFTER INSERT ON jobs
        WHEN NEW.status {_HAS_ENDED} BEGIN {_tally("NEW", 1)} END""",
    f"""CREATE TRIGGER jobs_tally_delete AFTER DELETE ON jobs
        WHEN OLD.status {_HAS_ENDED} BEGIN {_tally("OLD", -1)} END""",
    f"""CREATE TRIGGER jobs_tally_update AFTER UPDATE OF status, backend ON jobs
        WHEN {_MOVED} AND {_TOUCHES_THE_ENDED} BEGIN {_tally("OLD", -1)} {_tally("NEW", 1)} END""",
    f"CREATE TRIGGER pruned_jobs_tally_insert AFTER INSERT ON pruned_jobs BEGIN {_tally_pruned(1)} END",
    f"CREATE TRIGGER pruned_jobs_tally_delete AFTER DELETE ON pruned_jobs BEGIN {_tally_pruned(-1)} END",
)
_SQLITE_TRIGGER_NAMES = tuple(statement.split()[2] for statement in _SQLITE_TRIGGERS)

# Each connection has rows of its own there, so that no two transactions ever wait for each other's.
_PID = "pg_backend_pid()"
_EACH = "FOR EACH ROW"
_POSTGRESQL_TRIGGERS = (
    f"""CREATE FUNCTION tally_jobs() RETURNS trigger LANGUAGE plpgsql AS $tally$ BEGIN
          IF TG_OP <> 'INSERT' THEN {_tally("OLD", -1, _PID)} END IF;
          IF TG_OP <> 'DELETE' THEN {_tally("NEW", 1, _PID)} END IF;
          RETURN NULL; END $tally$""",
    f"""CREATE FUNCTION tally_pruned_jobs() RETURNS trigger LANGUAGE plpgsql AS $tally$ BEGIN
          IF TG_OP = 'INSERT' THEN {_tally_pruned(1, _PID)} ELSE {_tally_pruned(-1, _PID)} END IF;
          RETURN NULL; END $tally$""",
    f"""CREATE TRIGGER jobs_tally_insert AFTER INSERT ON jobs {_EACH}
        WHEN (NEW.status {_HAS_ENDED}) EXECUTE FUNCTION tally_jobs()""",
    f"""CREATE TRIGGER jobs_tally_delete AFTER DELETE ON jobs {_EACH}
        WHEN (OLD.status {_HAS_ENDED}) EXECUTE FUNCTION tally_jobs()""",
    f"""CREATE TRIGGER jobs_tally_update AFTER UPDATE OF status, backend ON jobs {_EACH}
        WHEN ({_MOVED} AND {_TOUCHES_THE_ENDED}) EXECUTE FUNCTION tally_jobs()""",
    f"""CREATE TRIGGER pruned_jobs_tally AFTER INSERT OR DELETE ON pruned_jobs {_EACH}
        EXECUTE FUNCTION tally_pruned_jobs()""",
)


def _divide_events() -> None:
    """Let the table that there is be the first partition, without copying it: of all until the end of this month."""
    now = op.get_bind().execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    until = partitions.month_after(now)
    first, bound = partitions.name_before(until), partitions.first_id(until)
    op.execute(f"ALTER TABLE events RENAME TO {first}")
    op.execute(f"ALTER TABLE {first} RENAME CONSTRAINT pk_events TO pk_{first}")
    _create_events(postgresql_partition_by="RANGE (job_id)")
    op.execute(f"CREATE TABLE {partitions.OTHER} PARTITION OF events DEFAULT")
    strays = f"DELETE FROM {first} WHERE job_id >= '{bound}' RETURNING *"  # ids of some other form
    op.execute(f"WITH strays AS ({strays}) INSERT INTO {partitions.OTHER} SELECT * FROM strays")
    op.execute(f"ALTER TABLE events ATTACH PARTITION {first} FOR VALUES FROM (MINVALUE) TO ('{bound}')")
    for months in range(partitions.MONTHS_AHEAD):
        partitions.create(op.get_bind(), partitions.month_after(until, months))


def _unite_events() -> None:
    op.execute("ALTER TABLE events RENAME TO events_by_month")
    op.execute("ALTER TABLE events_by_month RENAME CONSTRAINT pk_events TO pk_events_by_month")
    _create_events()
    op.execute("INSERT INTO events SELECT * FROM events_by_month")
    op.execute("DROP TABLE events_by_month")


def _create_events(**options: Any) -> None:
    op.create_table(
        "events",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_events_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "sequence", name="pk_events"),
        **options,
    )
