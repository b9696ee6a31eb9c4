"""How following a job looks: a live picture on a terminal, a line a change anywhere else."""

import time
from types import TracebackType
from typing import Protocol, Self

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from generation_service import texts
from generation_service.cli.follow import Event
from generation_service.cli.reading import Reading
from generation_service.cli.terminal import language, say

_REFRESHES_A_SECOND = 8
_TEXT_LINES = 10
_BAR_WIDTH = 40
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_SIGNS = {"completed": ("✓", "green"), "skipped": ("–", "dim"), "failed": ("✗", "red"), "cancelled": ("■", "yellow")}


class Display(Protocol):
    """Shows a job while it is followed; a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, event: Event, reading: Reading) -> None:
        """Show what `event` has changed; `reading` has it already."""


def display_for(console: Console, title: str) -> Display:
    """The live picture where `console` is a terminal, lines where it is not."""
    return LiveDisplay(console, title) if console.is_terminal else LineDisplay()


class LineDisplay:
    """A line for each step and each turn of a job, on standard error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, event: Event, reading: Reading) -> None:
        """Print a line, unless the event is only a piece of text or a fraction of a step."""
        line = _line(event)
        if line:
            click.echo(f"{reading.progress:5.1f} %  {line}", err=True)


class LiveDisplay:
    """Eight steps, a bar, and the end of the text as it is written; wiped away when following ends."""

    def __init__(self, console: Console, title: str) -> None:
        self._title = title
        self._reading = Reading()
        self._live = Live(
            get_renderable=self._picture, console=console, transient=True, refresh_per_second=_REFRESHES_A_SECOND
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, event: Event, reading: Reading) -> None:  # noqa: ARG002 - a picture shows the sum of the events
        """Show the reading with the next refresh."""
        self._reading = reading

    def _picture(self) -> Group:
        reading = self._reading
        head = Text(self._title, style="bold")
        head.append(f"  {say('status.' + reading.status)}", style="cyan")
        head.append(f"  {reading.backend}  {say('progress.attempt', attempt=reading.attempt)}", style="dim")
        text = Text("\n".join(reading.text().splitlines()[-_TEXT_LINES:]), style="dim")
        return Group(head, _steps(reading), _bar(reading.progress), text)


def _steps(reading: Reading) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, step in reading.steps.items():
        sign, style = _SIGNS.get(step.status, ("·", "dim"))
        if step.status == "running":
            sign, style = _SPINNER[int(time.monotonic() * 10) % len(_SPINNER)], "bold cyan"
        table.add_row(Text(sign, style), Text(name, style), Text(step.reason or _caption(name), "dim"))
    return table


def _bar(percent: float) -> Table:
    row = Table.grid(padding=(0, 1))
    row.add_row(ProgressBar(total=100, completed=percent, width=_BAR_WIDTH), Text(f"{percent:.0f} %"))
    return row


def _caption(step: str) -> str:
    try:
        return say(f"step.{step}")
    except KeyError:  # a recipe of one's own may have steps of its own
        return ""


def _given_back(reason: str | None) -> str | None:
    """Why a job went back to waiting, in words where there are some."""
    key = f"job.given_back.{reason}"
    return texts.text(key, language()) if texts.has_text(key) else reason


def _line(event: Event) -> str:
    data = event.data
    if event.type in {"token", "progress"}:
        return ""
    if event.type == "retry":
        return say("progress.retry", attempt=data.get("attempt", "?"), seconds=data.get("delay_seconds", 0))
    if event.type == "switched":
        return say("progress.switched", backend=data.get("backend", ""))
    status = say(f"status.{data.get('status', event.type)}")
    if event.type == "step":
        reason = data.get("reason") or (data.get("error") or {}).get("message") or ""
        return f"{data.get('step', '')}: {status}" + (f" – {reason}" if reason else "")
    known = ", ".join(filter(None, (data.get("backend"), _given_back(data.get("reason")))))
    return say("progress.job", status=status) + (f" ({known})" if known else "")
