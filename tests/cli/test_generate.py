"""`generate` submits once, follows to the end, and prints the text and nothing else where programs read."""

import json
from pathlib import Path
from typing import Any

from generation_service.cli.follow import Event
from generation_service.cli.reading import Reading
from tests.cli.commands import Commands, Ran
from tests.cli.scripted_api import Answer, ScriptedApi, as_json, as_stream, frame

SUBMIT = "POST /api/generation"
SCRIPT = "# 등대\n\n**민서** 불을 켜.\n"
PENDING = {"job_id": "j", "status": "pending", "project_id": "p"}
DONE = {**PENDING, "status": "completed", "result": {"episode_id": "e", "episode_number": 3}}


def completes(service: ScriptedApi) -> None:
    service.on(SUBMIT, as_json(PENDING, 202))
    service.on(
        "GET /api/generation/j/events",
        as_stream(
            frame(1, "status", status="running", backend="rq", attempt=1),
            frame(2, "step", step="signal", status="running"),
            frame(3, "step", step="signal", status="completed", progress=62.5),
            frame(4, "completed", status="completed"),
        ),
    )
    service.on("GET /api/generation/j", as_json(DONE))
    service.on("GET /api/generation/j/result", Answer(200, SCRIPT.encode(), {"Content-Type": "text/markdown"}))


def generate(commands: Commands, service: ScriptedApi, *arguments: str, **given: Any) -> Ran:
    return commands.run("generate", *arguments, given={"API_URL": service.url, **given})


def test_the_text_goes_to_standard_output_and_everything_else_beside_it(
    commands: Commands, service: ScriptedApi
) -> None:
    completes(service)

    ran = generate(commands, service, "--project", "p", "--title", "등대", "--synopsis", "불", "--key", "k1")

    assert (ran.code, ran.out) == (0, SCRIPT)
    assert "signal: completed" in ran.err
    assert "62.5 %" in ran.err
    assert f"Saved as episode 3 of p: {service.url}/api/projects/p/episodes/3" in ran.err
    sent = service.asked[0]
    assert sent.headers["idempotency-key"] == "k1"
    assert json.loads(sent.body) == {"project_id": "p", "episode_data": {"title": "등대", "synopsis": "불"}}


def test_with_json_one_object_is_all_there_is(commands: Commands, service: ScriptedApi, tmp_path: Path) -> None:
    completes(service)
    target = tmp_path / "script.md"

    ran = generate(commands, service, "--project", "p", "--title", "t", "--json", "--output", str(target))

    assert json.loads(ran.out) == {"job": DONE, "text": SCRIPT, "saved_to": str(target)}
    assert target.read_text(encoding="utf-8") == SCRIPT


def test_a_failed_job_is_its_reason_and_exit_1(commands: Commands, service: ScriptedApi) -> None:
    service.on(SUBMIT, as_json(PENDING, 202))
    service.on("GET /api/generation/j/events", as_stream(frame(1, "failed", status="failed")))
    service.on("GET /api/generation/j", as_json({**PENDING, "status": "failed", "error": {"message": "no such model"}}))

    ran = generate(commands, service, "--project", "p", "--title", "t")

    assert (ran.code, ran.out) == (1, "")
    assert "The job j failed. no such model" in ran.err


def test_a_refusal_is_shown_as_its_detail(commands: Commands, service: ScriptedApi) -> None:
    service.on(SUBMIT, as_json({"code": "x", "detail": "The title is too long."}, 422))

    ran = generate(commands, service, "--project", "p", "--title", "t")

    assert (ran.code, ran.err) == (1, "The title is too long.\n")


def test_ctrl_c_leaves_the_job_and_says_how_to_follow_it_again(
    commands: Commands, service: ScriptedApi, monkeypatch
) -> None:
    completes(service)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("generation_service.cli.reading.Reading.take", interrupted)

    ran = generate(commands, service, "--project", "p", "--title", "t")

    assert ran.code == 130
    assert "generation-service generate --follow j" in ran.err
    assert not service.asked_for("/api/generation/j/cancel")


def test_a_job_is_followed_again_without_being_submitted(commands: Commands, service: ScriptedApi) -> None:
    completes(service)

    ran = generate(commands, service, "--follow", "j")

    assert (ran.code, ran.out) == (0, SCRIPT)
    assert not service.asked_for("/api/generation")


def test_the_text_of_a_pruned_job_is_printed(commands: Commands, service: ScriptedApi, tmp_path: Path) -> None:
    service.on("GET /api/generation/j", as_json({"code": "job_pruned", "detail": "The job was pruned."}, 410))
    service.on("GET /api/generation/j/result", Answer(200, SCRIPT.encode(), {"Content-Type": "text/markdown"}))
    target = tmp_path / "script.md"

    printed = generate(commands, service, "--follow", "j")
    told = generate(commands, service, "--follow", "j", "--json", "--output", str(target))
    only_the_job = generate(commands, service, "--follow", "j", "--no-follow")

    assert (printed.code, printed.out, printed.err) == (0, SCRIPT, "")
    assert json.loads(told.out) == {"job": None, "text": SCRIPT, "saved_to": str(target)}
    assert target.read_text(encoding="utf-8") == SCRIPT
    assert (only_the_job.code, only_the_job.err) == (1, "The job was pruned.\n")


def test_a_pruned_job_that_left_no_text_is_said(commands: Commands, service: ScriptedApi) -> None:
    pruned = as_json({"code": "job_pruned", "detail": "The job was pruned."}, 410)
    service.on("GET /api/generation/j", pruned)
    service.on("GET /api/generation/j/result", pruned)

    ran = generate(commands, service, "--follow", "j")

    assert (ran.code, ran.err) == (1, "The job was pruned.\n")


def test_a_body_from_a_file_is_completed_by_the_options(
    commands: Commands, service: ScriptedApi, tmp_path: Path
) -> None:
    service.on(SUBMIT, as_json(PENDING, 202))
    given = {"project_id": "file", "episode_data": {"title": "from the file", "characters": ["Mina"]}}
    (tmp_path / "in.json").write_text(json.dumps(given), encoding="utf-8")

    ran = generate(commands, service, "--input", "in.json", "--project", "option", "--no-follow")

    assert ran.code == 0
    assert "--follow j" in ran.out
    assert json.loads(service.asked[0].body) == {**given, "project_id": "option"}


def test_a_report_on_a_company_needs_no_title(commands: Commands, service: ScriptedApi) -> None:
    service.on(SUBMIT, as_json(PENDING, 202))

    generate(commands, service, "--corp", "8001", "--language", "ko", "--no-follow")

    assert json.loads(service.asked[0].body) == {"corp_id": "8001", "recipe": "risk_report", "language": "ko"}


def test_a_request_without_a_project_is_wrong_use(commands: Commands, service: ScriptedApi) -> None:
    ran = generate(commands, service, "--title", "t")

    assert ran.code == 2
    assert "--project" in ran.err
    assert not service.asked


def test_messages_follow_the_locale(commands: Commands, service: ScriptedApi) -> None:
    completes(service)

    ran = generate(commands, service, "--project", "p", "--title", "t", LANG="ko_KR.UTF-8")

    assert "p 3화로 저장되었습니다" in ran.err
    assert service.asked[0].headers["accept-language"] == "ko"


def test_a_cut_step_takes_its_text_back_and_keeps_the_rest() -> None:
    reading = Reading()

    for event in (
        Event(1, "token", {"step": "signal", "text": "signal "}),
        Event(2, "step", {"step": "insight", "status": "running"}),
        Event(3, "token", {"step": "insight", "text": "a cut sen"}),
        Event(4, "step", {"step": "insight", "status": "running", "attempt": 2, "discard_after": 2}),
        Event(5, "token", {"step": "insight", "text": "the sentence"}),
    ):
        reading.take(event)

    assert reading.text() == "the sentence"
    assert reading.steps["insight"].status == "running"
