"""Metrics: what processes count is added up for the service, and shown as Prometheus reads it."""

from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from generation_service.database import Database, totals
from generation_service.errors import DatabaseUnavailable
from generation_service.telemetry import JobTelemetry, Totals
from generation_service.telemetry.metrics import Snapshot, exposition


@dataclass(frozen=True)
class SomeJob:
    id: str = "0199"
    kind: str = "generation"
    backend: str = "rq"
    attempt: int = 1


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


async def test_counts_of_several_processes_add_up(database: Database) -> None:
    one, other = JobTelemetry(), JobTelemetry()
    one.step_ended(SomeJob(), "signal", 0.2, "completed")
    other.step_ended(SomeJob(), "signal", 7.0, "completed")
    other.step_ended(SomeJob(), "signal", 0.2, "failed", "timeout")

    await totals.flush(database, one.totals)
    await totals.flush(database, other.totals)
    await totals.flush(database, other.totals)  # nothing is left to add
    shown = samples(exposition(Snapshot(totals=await database.read(totals.read))))

    step = ("step", "signal")
    assert shown["pipeline_step_duration_seconds_count", (step,)] == 3
    assert shown["pipeline_step_duration_seconds_sum", (step,)] == pytest.approx(7.4)
    assert shown["pipeline_step_duration_seconds_bucket", (("le", "0.25"), step)] == 2
    assert shown["pipeline_step_duration_seconds_bucket", (("le", "10.0"), step)] == 3
    assert shown["pipeline_failures_total", (("error_type", "timeout"), step)] == 1


async def test_counts_that_could_not_be_stored_are_kept_for_the_next_time(sqlite_database: Database) -> None:
    counted = Totals()
    counted.count("pipeline_failures_total", {"step": "index", "error_type": "timeout"})

    class Away(Database):
        def __init__(self) -> None:
            pass

        async def write(self, unit: object) -> None:  # it only fails
            raise DatabaseUnavailable("away")

    with pytest.raises(DatabaseUnavailable):
        await totals.flush(Away(), counted)
    await totals.flush(sqlite_database, counted)

    assert list((await sqlite_database.read(totals.read)).values()) == [1.0]


def test_a_scrape_without_any_counts_names_every_metric() -> None:
    text = exposition(Snapshot(gauges={"background_tasks_active": {(): 0}})).decode()

    for name in ("pipeline_step_duration_seconds", "pipeline_failures", "background_tasks_active"):
        assert f"# TYPE {name}" in text
    assert "process_resident_memory_bytes" in text
