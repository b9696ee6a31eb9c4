"""Puts the table of a report into a Markdown file, between two marks, in place of the one before."""

from pathlib import Path

from generation_service.errors import ConfigurationError
from scripts.benchmarks.report import Report
from scripts.benchmarks.table import markdown

BEGIN, END = "<!-- the table: begin -->", "<!-- the table: end -->"


def write(path: Path, report: Report) -> None:
    """Replace the table in the file at `path`. Raises ConfigurationError where it has no place for one."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigurationError(f"{path.name} has no table between {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n\n{markdown(report)}\n{END}{after}", encoding="utf-8")
