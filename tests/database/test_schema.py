"""The schema goes up and down on both databases, is what the tables say, and one that does not fit is one line."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, inspect, text
from sqlalchemy.exc import IntegrityError

from generation_service.database import Database, db_now, schema, tables
from generation_service.database.programs import programs
from generation_service.errors import ConfigurationError
from generation_service.jobs.schedules import Schedule, declare

VERSIONS = Path(schema.__file__).parent / "migrations" / "versions"
# Full-text search and the partitions of the events, made by migrations alone.
_BESIDE_THE_TABLES = ("chunk_index", "token_vector", "Table('events_")


def table_names(database: Database) -> set[str]:
    return database.read_now(lambda connection: set(inspect(connection).get_table_names()))


def set_version(database: Database, version: str) -> None:
    database.write_now(
        lambda connection: connection.execute(text(f"UPDATE alembic_version SET version_num = '{version}'"))
    )


def test_each_migration_is_named_by_its_version_and_follows_the_one_before() -> None:
    scripts = ScriptDirectory(str(VERSIONS.parent))

    chain = [script.revision for script in scripts.walk_revisions()][::-1]

    assert chain == schema._revisions()
    assert schema.newest_version() == scripts.get_current_head()


def test_migrations_make_what_the_tables_say(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return compare_metadata(MigrationContext.configure(connection), programs.metadata)

    found = [one for one in database.read_now(differences) if not any(word in repr(one) for word in _BESIDE_THE_TABLES)]

    assert found == []


def test_every_migration_can_be_taken_back_and_made_again(database: Database) -> None:
    before = table_names(database)

    assert schema.downgrade(database, len(list(VERSIONS.glob("[0-9]*.py")))) == ""
    assert table_names(database) == {"alembic_version"}
    assert schema.migrate(database) == schema.newest_version()

    assert table_names(database) == before


def test_a_schema_that_fits_is_left_alone(database: Database) -> None:
    schema.prepare(database)

    assert schema.current_version(database) == schema.newest_version()


def test_a_schema_newer_than_the_code_is_one_clear_line(database: Database) -> None:
    set_version(database, "9999")

    with pytest.raises(ConfigurationError, match=r"9999.*does not know") as refused:
        schema.prepare(database)

    assert "\n" not in refused.value.message


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    yield database
    database.close()


def test_an_empty_database_is_migrated_at_first_start(empty: Database) -> None:
    schema.prepare(empty)

    assert "jobs" in table_names(empty)


def test_tables_without_a_version_are_not_touched(empty: Database) -> None:
    empty.write_now(lambda connection: connection.execute(text("CREATE TABLE jobs (id TEXT)")))

    with pytest.raises(ConfigurationError, match="no version"):
        schema.prepare(empty)

    assert table_names(empty) == {"jobs"}


RENAMED = {
    "status": "processing_status",
    "error": "processing_error",
    "started_at": "processing_started_at",
    "completed_at": "processing_completed_at",
}
DOCUMENT = {
    "project_id": "책방",
    "user_id": "ana",
    "job_id": "j1",
    "file_name": "대본.txt",
    "file_type": "txt",
    "file_size": 12,
    "sha256": "0" * 64,
    "object_key": "projects/p/documents/d/source",
    "progress": 100.0,
    "pages": 3,
    "language": "ko",
    "created_at": datetime(2026, 11, 1, 9, 30, 0, 123456, UTC),
    "started_at": datetime(2026, 11, 1, 9, 30, 1, tzinfo=UTC),
    "completed_at": datetime(2026, 11, 1, 9, 31, 2, tzinfo=UTC),
}
STATES = [
    {"id": "d1", "status": "completed", "code": None, "error": None},
    {"id": "d2", "status": "failed", "code": "encrypted", "error": "암호가 걸린 문서입니다."},
    {"id": "d3", "status": "pending", "code": None, "error": None},
]


def rows_of_documents(database: Database) -> list[dict[str, object]]:
    """All documents, by the names that the columns have in the database now."""
    found = text("SELECT * FROM documents ORDER BY id")
    return [dict(row) for row in database.read_now(lambda connection: connection.execute(found).mappings().all())]


def indexes_of_documents(database: Database) -> dict[str | None, list[str | None]]:
    found = database.read_now(lambda connection: inspect(connection).get_indexes("documents"))
    return {one["name"]: one["column_names"] for one in found}


def add_job(database: Database, kind: str, status: str) -> None:
    zero = ("fence", "seq", "failures", "steps_since_claim", "claims", "delivery", "progress", "priority")
    job = {
        **dict.fromkeys((*zero, "input_tokens", "output_tokens", "saved_tokens"), 0),
        **dict.fromkeys(("user_id", "backend"), "x"),
        "id": f"{kind}-{status}",
        "kind": kind,
        "status": status,
        "request": {},
        "max_attempts": 4,
        "created_at": db_now(),
    }
    database.write_now(lambda connection: connection.execute(insert(tables.jobs).values(**job)))


def test_the_way_back_is_refused_while_jobs_wait_that_the_version_before_does_not_know(database: Database) -> None:
    add_job(database, "generation", "pending")
    for kind in ("program_file", "program_retries"):
        add_job(database, kind, "completed")
    add_job(database, "reindex", "pending")

    with pytest.raises(ConfigurationError, match=r"^1 jobs") as refused:
        schema.downgrade(database, 2)
    assert "\n" not in refused.value.message
    assert schema.current_version(database) == schema.newest_version()

    database.write_now(lambda connection: connection.execute(text("UPDATE jobs SET status = 'cancelled'")))
    assert schema.downgrade(database, 2) == "0002"


def test_the_way_back_leaves_no_schedule_that_submits_what_the_version_before_does_not_know(
    database: Database,
) -> None:
    kept, gone = (
        Schedule(id=name, cron="0 * * * *", timezone="UTC", kind=kind, request={})
        for name, kind in (("nightly", "generation"), ("hourly", "program_retries"))
    )
    database.write_now(lambda connection: declare(connection, [kept, gone]))

    schema.downgrade(database, 2)

    left = text("SELECT id FROM schedules")
    assert database.read_now(lambda connection: connection.execute(left).scalars().all()) == [kept.id]


def test_documents_survive_the_way_back_and_forth_with_the_names_of_their_columns(database: Database) -> None:
    documents = [{**DOCUMENT, **state} for state in STATES]
    database.write_now(lambda connection: connection.execute(insert(tables.documents), documents))
    alert = {"id": "a", "type": "job_failed", "subject": "j", "fingerprint": "f", "detail": {}, "tries": 0}
    database.write_now(
        lambda connection: connection.execute(insert(tables.alerts).values(**alert, created_at=db_now()))
    )
    before = rows_of_documents(database)

    assert schema.downgrade(database, 2) == "0002"
    names = {after: name for name, after in RENAMED.items()}
    gone = {"use_multimodal", "program_id"}
    assert rows_of_documents(database) == [
        {names.get(name, name): value for name, value in row.items() if name not in gone} for row in before
    ]
    assert indexes_of_documents(database)["ix_documents_status"] == ["status"]
    assert "alerts" not in table_names(database)

    assert schema.migrate(database) == schema.newest_version()
    assert sorted(rows_of_documents(database), key=lambda row: str(row["id"])) == before
    assert indexes_of_documents(database)["ix_documents_processing_status"] == ["processing_status"]
    assert "ix_documents_status" not in indexes_of_documents(database)
    assert {*RENAMED.values()} <= before[0].keys()
    with pytest.raises(IntegrityError):
        database.write_now(
            lambda connection: connection.execute(text("UPDATE documents SET processing_status = 'lost'"))
        )
