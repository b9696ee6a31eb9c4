"""Log lines: JSON with the fields of their context, or text for a person."""

import asyncio
import io
import json
import logging
import re
from dataclasses import dataclass

import pytest

from generation_service.telemetry import JobTelemetry, configure_logging, log_context


@pytest.fixture
def lines() -> io.StringIO:
    stream = io.StringIO()
    configure_logging("json", "info", stream)
    return stream


@dataclass(frozen=True)
class SomeJob:
    id: str = "0199"
    kind: str = "generation"
    backend: str = "background_tasks"
    attempt: int = 2


def last(stream: io.StringIO) -> dict[str, object]:
    return dict(json.loads(stream.getvalue().splitlines()[-1]))


def test_a_line_is_one_json_object_with_what_its_context_says(lines: io.StringIO) -> None:
    with log_context(job_id="j1", step="signal", attempt=1, backend="rq"):
        logging.getLogger("x").info("첫 줄 %d\n둘째 줄", 7, extra={"action": "tried"})

    assert len(lines.getvalue().splitlines()) == 1
    line = last(lines)
    assert line["message"] == "첫 줄 7\n둘째 줄"
    assert (line["job_id"], line["step"], line["attempt"], line["backend"]) == ("j1", "signal", 1, "rq")
    assert (line["level"], line["logger"], line["action"]) == ("info", "x", "tried")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line["time"]))


async def test_contexts_of_jobs_that_run_at_once_do_not_mix(lines: io.StringIO) -> None:
    async def work(name: str) -> None:
        with log_context(job_id=name):
            await asyncio.sleep(0)
            logging.getLogger("x").info(name)

    await asyncio.gather(work("a"), work("b"))

    found = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert {(line["message"], line["job_id"]) for line in found} == {("a", "a"), ("b", "b")}


def test_an_exception_is_part_of_its_line(lines: io.StringIO) -> None:
    try:
        int("boom")
    except ValueError:
        logging.getLogger("x").exception("failed")

    assert "ValueError: invalid literal" in str(last(lines)["exception"])


def test_text_lines_show_fields_as_names_and_values() -> None:
    stream = io.StringIO()
    configure_logging("text", "info", stream)

    with log_context(job_id="j1"):
        logging.getLogger("x").warning("slow", extra={"action": "slow_reader"})

    assert "WARNING slow job_id=j1 action=slow_reader" in stream.getvalue()


def test_a_level_below_the_configured_one_is_silent() -> None:
    stream = io.StringIO()
    configure_logging("json", "warning", stream)

    logging.getLogger("x").info("quiet")

    assert stream.getvalue() == ""


def test_the_line_of_an_in_process_run_can_be_found_as_the_runbook_does(lines: io.StringIO) -> None:
    telemetry = JobTelemetry()

    telemetry.attempt_started(SomeJob())
    telemetry.attempt_started(SomeJob(backend="rq"))

    in_process, through_rq = lines.getvalue().splitlines()
    assert re.search("Processing.*background_task", in_process)
    assert not re.search("Processing.*background_task", through_rq)
    assert json.loads(in_process)["backend"] == "background_tasks"


def test_a_step_line_carries_job_step_attempt_and_backend(lines: io.StringIO) -> None:
    JobTelemetry().step_ended(SomeJob(), "signal", 1.5, "failed", "provider_unreachable")

    line = last(lines)
    assert (line["job_id"], line["step"], line["attempt"], line["backend"]) == ("0199", "signal", 2, "background_tasks")
    assert (line["action"], line["error_code"], line["level"]) == ("step_ended", "provider_unreachable", "warning")


def test_active_background_tasks_are_those_that_began_and_have_not_ended() -> None:
    telemetry = JobTelemetry()

    telemetry.attempt_started(SomeJob())
    telemetry.attempt_started(SomeJob())
    telemetry.attempt_started(SomeJob(backend="rq"))
    telemetry.attempt_ended(SomeJob(), "completed", 1.0)

    assert telemetry.background_tasks_active == 1
