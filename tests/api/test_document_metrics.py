"""What programs, their retries and the alerts come to is there for Prometheus, from nothing on."""

from typing import Any

from sqlalchemy import Connection, insert, text

from generation_service.database import db_now
from generation_service.database.programs import program_files, program_retries, program_retry_files, programs
from tests.api.conftest import Api

STATUSES = ["completed", "failed", "failed", "processing"]
OUTCOMES = ["success", "failed", "failed", None]


def add_program(connection: Connection, name: str, *, deleted: bool) -> None:
    program = {"id": name, "user_id": "ana", "project_id": "p", "use_multimodal": False, "file_count": 4}
    deleted_at = db_now() if deleted else None
    connection.execute(insert(programs).values(**program, created_at=db_now(), deleted_at=deleted_at))
    whole = {"file_size": 1, "runs": 0, "seconds": 0, "tokens": 0, "retry_count": 0, "auto_retry_count": 0}
    for position, status in enumerate(STATUSES):
        file = {"position": position, "file_name": "a", "status": status, "stage": "document", **whole}
        connection.execute(insert(program_files).values(program_id=name, **file))
    retry = {"id": name, "program_id": name, "retry_type": "all", "source": "user"}
    connection.execute(insert(program_retries).values(**retry, created_at=db_now()))
    for position, outcome in enumerate(OUTCOMES):
        tried = {"retry_id": name, "position": position, "stage": "document", "outcome": outcome}
        connection.execute(insert(program_retry_files).values(**tried))


async def told(api: Api, *names: str) -> dict[str, float]:
    lines = (await api.http.get("/metrics")).text.splitlines()
    shown = dict(line.rsplit(" ", 1) for line in lines if line.startswith(names))
    return {name: float(value) for name, value in shown.items()}


async def test_files_that_somebody_waits_for_and_their_retries_are_counted(api: Api) -> None:
    before = await told(api, "program_", "generation_alerts")
    for name in ("seen", "deleted"):
        await api.runtime.database.write(
            lambda connection, name=name: add_program(connection, name, deleted=name == "deleted")
        )

    assert before
    assert set(before.values()) == {0.0}
    assert await told(api, "program_files") == {
        'program_files{status="failed"}': 2,
        'program_files{status="pending"}': 0,
        'program_files{status="processing"}': 1,
    }
    assert await told(api, "program_retries_total") == {
        'program_retries_total{outcome="failed"}': 4,
        'program_retries_total{outcome="skipped"}': 0,
        'program_retries_total{outcome="success"}': 2,
    }
    assert 'generation_alerts_total{type="document_failed"}' in before


async def test_counting_files_does_not_read_those_that_are_completed(api: Api) -> None:
    def plan(connection: Connection) -> list[Any]:
        counted = "SELECT status, count(*) FROM program_files WHERE program_files.status <> 'completed' GROUP BY status"
        return [str(tuple(row)) for row in connection.execute(text(f"EXPLAIN QUERY PLAN {counted}"))]

    if api.runtime.database.dialect == "sqlite":
        assert "ix_program_files_unfinished" in " ".join(await api.runtime.database.read(plan))
