"""The schema goes up and down on both databases, is what the tables say, and one that does not fit is one line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from generation_service.database import Database, schema
from generation_service.database.programs import programs
from generation_service.errors import ConfigurationError

VERSIONS = Path(schema.__file__).parent / "migrations" / "versions"
_BESIDE_THE_TABLES = ("chunk_index", "token_vector")  # full-text search, made by the migration alone


def table_names(database: Database) -> set[str]:
    return database.read_now(lambda connection: set(inspect(connection).get_table_names()))


def set_version(database: Database, version: str) -> None:
    database.write_now(
        lambda connection: connection.execute(text(f"UPDATE alembic_version SET version_num = '{version}'"))
    )


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
