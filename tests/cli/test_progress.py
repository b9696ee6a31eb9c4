"""How following looks: a picture on a terminal, a line a change elsewhere, in the terminal's language."""

from io import StringIO

import pytest
from rich.console import Console

from generation_service.cli.follow import Event
from generation_service.cli.progress import LineDisplay, LiveDisplay, display_for
from generation_service.cli.reading import Reading

EVENTS = (
    Event(1, "status", {"status": "running", "backend": "rq", "attempt": 1}),
    Event(2, "step", {"step": "external", "status": "skipped", "reason": "no provider", "progress": 37.5}),
    Event(3, "token", {"step": "insight", "text": "S#1. 등대 / 밤"}),
    Event(4, "retry", {"attempt": 2, "delay_seconds": 1.5, "error": {"message": "busy"}}),
    Event(5, "switched", {"backend": "background_tasks"}),
    Event(6, "completed", {"status": "completed"}),
)


@pytest.fixture(autouse=True)
def _in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_MESSAGES", raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")


def test_lines_tell_each_turn_and_no_piece_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    reading = Reading()
    with LineDisplay() as display:
        for event in EVENTS:
            reading.take(event)
            display.show(event, reading)

    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "  0.0 %  job: running (rq)",
        " 37.5 %  external: skipped – no provider",
        " 37.5 %  attempt 2 follows in 1.5 s",
        " 37.5 %  moved to background_tasks",
        "100.0 %  job: completed",
    ]


@pytest.mark.parametrize(
    ("locale", "line"),
    [
        ("C.UTF-8", "  0.0 %  job: pending (rq, its process was lost)"),
        ("ko_KR.UTF-8", "  0.0 %  작업: 대기 (rq, 프로세스가 중단됨)"),
    ],
)
def test_why_a_job_waits_again_is_told_in_the_terminals_language(
    locale: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANG", locale)

    LineDisplay().show(Event(7, "status", {"status": "pending", "backend": "rq", "reason": "rescued"}), Reading())

    assert capsys.readouterr().err.splitlines() == [line]


def test_the_picture_has_the_steps_the_bar_and_the_text_and_is_wiped_away() -> None:
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, width=100, legacy_windows=False)
    reading = Reading()
    with LiveDisplay(console, "a title") as display:
        for event in EVENTS[:3]:
            reading.take(event)
            display.show(event, reading)

    drawn = screen.getvalue()
    for part in ("a title", "external", "no provider", "38 %", "S#1. 등대 / 밤"):
        assert part in drawn
    assert drawn.rstrip().endswith("\x1b[2K")  # the last thing done is to clear a line


def test_a_terminal_gets_the_picture_and_a_file_the_lines() -> None:
    assert isinstance(display_for(Console(file=StringIO(), force_terminal=True), "t"), LiveDisplay)
    assert isinstance(display_for(Console(file=StringIO()), "t"), LineDisplay)
