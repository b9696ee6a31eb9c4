"""The table of a report: on the terminal, and as Markdown."""

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from generation_service.texts import has_text
from scripts.benchmarks.machine import Machine, in_words
from scripts.benchmarks.model import Figure
from scripts.benchmarks.report import Report, Result
from scripts.tool import say

_COLUMNS = ("figure", "ours", "peer", "ratio", "goal")
_OF_PEERS = ("peer", "ratio")
_PIPED_WIDTH = 140  # characters, where the table goes into a file
_STYLES = {"met": "green", "not_met": "bold red", "missing": "yellow", "no_goal": "dim", "not_judged": "dim"}


def caption(result: Result) -> str:
    """A row's caption in the terminal's language, where the catalogue has it."""
    key = f"benchmark.row.{result.name}"
    return say(key) if has_text(key) else result.caption


def verdict(figure: Figure, report: Report) -> str:
    """What is said of a figure: the last part of a key of the catalogue."""
    if figure.missing:
        return "missing"
    if report.size == "small":
        return "not_judged"
    if figure.goal is None:
        return "no_goal"
    return "met" if figure.met else "not_met"


def show(report: Report) -> None:
    """Print a table for each row on the terminal, and below it what its figures note."""
    console = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    console.print(Text(f"{Machine(**report.machine).in_words()}\n{in_words(report.versions)}", style="dim"))
    console.print(Text(say(f"benchmark.title_{report.size}"), style="bold"))
    for result in report.results:
        console.print(_table(result, report))
        for figure in filter(lambda one: one.note, result.figures):
            console.print(Text(f"  {figure.name}: {figure.note}", style="dim"))
        if result.error:
            console.print(Text(result.error, style="red"))


def _table(result: Result, report: Report) -> Table:
    columns = [name for name in _COLUMNS if name not in _OF_PEERS or any(one.peer for one in result.figures)]
    head = [say(f"benchmark.column.{name}") for name in columns]
    table = Table(*head, "", title=caption(result), title_justify="left", title_style="bold")
    for figure in result.figures:
        said, cells = verdict(figure, report), _cells(figure)
        table.add_row(*(Text(cells[name]) for name in columns), Text(_word(figure, said), style=_STYLES[said]))
    return table


def _word(figure: Figure, verdict: str) -> str:
    if verdict == "missing":
        return figure.missing or ""
    return "" if verdict == "no_goal" else say(f"benchmark.{verdict}")


def markdown(report: Report) -> str:
    """The same tables as one of Markdown, in English, with the machine and the versions above it."""
    machine = Machine(**report.machine).in_words()
    head = f"{report.began_at[:10]}; {machine}; load before {report.load_before:g}; medians of {report.rounds} rounds."
    lines = [head, "", f"Versions: {in_words(report.versions)}.", ""]
    lines += ["| | ours | peer | ratio | goal | | |", "|---|---|---|---|---|---|---|"]
    for result in report.results:
        lines.append(f"| **{result.caption}** | | | | | | |")
        lines += [_line([*_cells(one).values(), _in_english(one, report), one.note]) for one in result.figures]
        lines += [_line([result.error.partition("\n")[0], "", "", "", "", "failed", ""])] if result.error else []
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """A number with as many digits as it deserves."""
    size = abs(value)
    if value == int(value) and size < 100:  # noqa: PLR2004 - a count, such as none
        return f"{value:.0f}"
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"  # noqa: PLR2004


def _cells(figure: Figure) -> dict[str, str]:
    """What stands in each of the columns."""
    peer = figure.peer or ""
    if figure.peer and figure.peer_value is not None:
        peer = f"{figure.peer}: {number(figure.peer_value)} {figure.unit}"
    return {
        "figure": figure.name,
        "ours": "-" if figure.value is None else f"{number(figure.value)} {figure.unit}",
        "peer": peer,
        "ratio": "" if figure.ratio is None else f"{number(figure.ratio)} ×",
        "goal": _goal(figure),
    }


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    sign, unit = ("≥" if figure.better == "more" else "≤"), ("×" if figure.peer else figure.unit)
    return f"{sign} {figure.goal:g} {unit}"


def _in_english(figure: Figure, report: Report) -> str:
    said = verdict(figure, report)
    words = {"met": "met", "not_met": "**not met**", "no_goal": "", "not_judged": "not judged"}
    return f"missing: {figure.missing}" if said == "missing" else words[said]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
