"""The plot of a report: an SVG with one bar a goal, as long as the goal was reached, on a logarithmic scale."""

import math
from collections.abc import Iterator
from xml.sax.saxutils import escape

from scripts.benchmarks.machine import Machine
from scripts.benchmarks.model import Figure
from scripts.benchmarks.report import Report
from scripts.benchmarks.table import number

_WIDTH, _LINE, _TOP, _BOTTOM = 960, 26, 84, 46
_LEFT, _RIGHT = 400, 190  # for the names, and for the numbers behind the bars
_DECADES = 1.0  # to either side of the goal
_MET, _MISSED, _UNKNOWN = "#2e7d32", "#c62828", "#9e9e9e"


def svg(report: Report) -> str:
    """The picture as text."""
    figures = [figure for figure in report.figures if figure.goal is not None]
    height = _TOP + _LINE * len(figures) + _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"',
        'font-family="sans-serif" font-size="12" role="img" aria-label="Goals of the benchmark and what was reached">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(16, 26, "How far each goal was reached", size=16),
        _text(16, 46, Machine(**report.machine).in_words(), colour="#616161"),
        _text(16, 64, f"{report.began_at[:10]}, medians of {report.rounds} rounds, {report.size}", colour="#616161"),
        *_scale(height),
        *(part for row, figure in enumerate(figures) for part in _bar(figure, _TOP + _LINE * row)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def reached(figure: Figure) -> float | None:
    """How far the goal was reached: 1 is just so, 2 is twice as good; None where nothing was measured."""
    if figure.goal is None or figure.judged is None:
        return None
    if figure.better == "more":
        return figure.judged / figure.goal if figure.goal else math.inf
    return figure.goal / figure.judged if figure.judged else math.inf  # of what should be little, there was nothing


def _scale(height: int) -> Iterator[str]:
    for times in (0.1, 0.2, 0.5, 1, 2, 5, 10):
        x = _x(times)
        colour, dashes = ("#212121", "") if times == 1 else ("#e0e0e0", ' stroke-dasharray="3 3"')
        yield f'<path d="M{x:.1f} {_TOP - 8}V{height - _BOTTOM + 8}" stroke="{colour}"{dashes}/>'
        label = "goal" if times == 1 else f"{times:g} ×"
        yield _text(x, height - _BOTTOM + 24, label, anchor="middle", colour="#616161")


def _bar(figure: Figure, y: int) -> Iterator[str]:
    yield _text(_LEFT - 10, y + 15, figure.name, anchor="end")
    far = reached(figure)
    if far is None:
        yield _text(_x(1) + 6, y + 15, figure.missing or "not measured", colour=_UNKNOWN)
        return
    goal, end = _x(1), _x(far)
    colour = _MET if figure.met else _MISSED
    start, width = min(goal, end), max(abs(end - goal), 1.0)
    yield f'<rect x="{start:.1f}" y="{y + 4}" width="{width:.1f}" height="{_LINE - 10}" fill="{colour}"/>'
    yield _text(_WIDTH - _RIGHT + 10, y + 15, _numbers(figure), colour=colour)


def _numbers(figure: Figure) -> str:
    sign, unit = ("≥" if figure.better == "more" else "≤"), ("×" if figure.peer else figure.unit)
    return f"{number(figure.judged or 0.0)} ({sign} {figure.goal:g}) {unit}"


def _x(times: float) -> float:
    shown = min(max(times, 10**-_DECADES), 10**_DECADES)
    return _LEFT + (math.log10(shown) / _DECADES + 1) / 2 * (_WIDTH - _LEFT - _RIGHT)


def _text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = "#212121", size: int = 12) -> str:
    place = f'x="{x:.1f}" y="{y}" text-anchor="{anchor}"'
    return f'<text {place} fill="{colour}" font-size="{size}">{escape(words)}</text>'
