"""`python -m scripts.benchmark` (or as a file): measures the whole table, each row against its peer in the same run.

Changes nothing but the files it writes (`--output`, and with `--write-table` the table of ops/BENCHMARKS.md): it starts
servers of its own in a temporary folder and ends them. Killed half-way it leaves the rows it has measured; run again it
measures all anew, or with `--keep` only what `--only` names. Undo: none is needed.
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from scripts.afresh import as_module

    as_module(__file__)

from scripts.tool import DONE, INTERRUPTED, LEFT, WRONG_USE, say, show, show_json, tell

if find_spec("psutil") is None:  # what all below measures with; it comes with the extras `bench` and `dev`
    tell(say("benchmark.not_installed"))
    sys.exit(WRONG_USE)

from generation_service.errors import ConfigurationError
from generation_service.texts import has_text
from scripts.arguments import count
from scripts.benchmarks import machine, plot, report, table, written
from scripts.benchmarks.ground import ENGINES, Ground
from scripts.benchmarks.model import Row, Size
from scripts.benchmarks.report import Report, Result
from scripts.benchmarks.rows import ROWS

ROOT = Path(__file__).resolve().parents[1]

_ROUNDS: dict[Size, int] = {"full": 3, "small": 1}
_RESULTS, _PLOT = "results.json", "plot.svg"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show; the exit code."""
    asked = read_arguments(arguments)
    rows = [row for row in ROWS if row.name in asked.only]
    if asked.dry_run:
        _say_plan(rows, asked)
        return DONE
    try:
        measured = measure(rows, asked)
    except ConfigurationError as error:
        tell(error.message)
        return WRONG_USE
    except KeyboardInterrupt:
        return INTERRUPTED
    if asked.write_table:
        written.write(ROOT / "ops" / "BENCHMARKS.md", measured)
    if asked.json:
        show_json(measured.as_json())
    else:
        table.show(measured)
        show(say("benchmark.written", folder=asked.output))
    failed = any(result.error for result in measured.results)
    return LEFT if failed or (measured.size == "full" and measured.left) else DONE


def measure(rows: Sequence[Row], asked: argparse.Namespace) -> Report:
    """Measure each row and write the report behind each: whoever kills this loses one row."""
    size: Size = "small" if asked.small else "full"
    measured = Report(
        machine=machine.Machine.here().as_json(),
        versions=machine.versions(),
        size=size,
        rounds=asked.rounds or _ROUNDS[size],
        load_before=machine.load(),
        began_at=_now(),
    )
    earlier = report.read(asked.output / _RESULTS) if asked.keep else None
    if earlier:
        measured.keep(earlier)
    order = [row.name for row in ROWS]
    tell(f"{machine.Machine(**measured.machine).in_words()}; load {measured.load_before:g}")
    with Ground(engines=asked.engine, rounds=measured.rounds) as ground:
        for row in rows:
            measured.put(_measured(row, ground, size), order)
            measured.write(asked.output / _RESULTS)
            (asked.output / _PLOT).write_text(plot.svg(measured), encoding="utf-8")
    return measured


def _measured(row: Row, ground: Ground, size: Size) -> Result:
    """One row; one that fails is said, and the numbers of the others stay."""
    tell(say("benchmark.measuring", name=row.name))
    ground.tells(lambda message: tell(f"  {row.name}: {message}"))
    began, error = time.monotonic(), None
    measured_at = _now()
    figures = []
    try:
        figures = row.measure(ground, size)
    except Exception as failure:  # noqa: BLE001 - said in the report
        error = f"{type(failure).__name__}: {failure}"
        tell(say("benchmark.failed", name=row.name, error=error))
    taken = time.monotonic() - began
    return Result(
        name=row.name, caption=row.caption, figures=figures, measured_at=measured_at, seconds=taken, error=error
    )


def _say_plan(rows: Sequence[Row], asked: argparse.Namespace) -> None:
    """What would be measured, against what, and where it would be written."""
    found = machine.versions()
    missing = [name for name in (*machine.PEERS, "postgresql", "redis-server") if found[name] == "-"]
    plan = {
        "dry_run": True,
        "rows": [row.name for row in rows],
        "engines": list(asked.engine),
        "machine": machine.Machine.here().as_json(),
        "versions": found,
        "missing": missing,
        "output": str(asked.output),
    }
    if asked.json:
        show_json(plan)
        return
    show(say("benchmark.would_measure", engines=", ".join(asked.engine), folder=asked.output))
    for row in rows:
        show(f"  {row.name}: {table.caption(Result(name=row.name, caption=row.caption))}")
    for name in missing:
        show(say("benchmark.not_there", name=name))


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; exits with 2 where it is wrong."""
    about, exit_codes = say("benchmark.help.about"), say("benchmark.help.exit_codes")
    parser = argparse.ArgumentParser("python -m scripts.benchmark", description=about, epilog=exit_codes)
    names = [row.name for row in ROWS]
    only = say("benchmark.help.only", rows=", ".join(names))
    parser.add_argument("--only", type=_one_of(names), default=names, metavar="ROW,...", help=only)
    parser.add_argument(
        "--engine",
        type=_one_of(ENGINES),
        default=list(ENGINES),
        metavar="ENGINE,...",
        help=say("benchmark.help.engine"),
    )
    parser.add_argument("--rounds", type=count, metavar="N", help=say("benchmark.help.rounds", **_ROUNDS))
    folder = ROOT / "var" / "benchmark"
    parser.add_argument("--output", type=Path, default=folder, metavar="FOLDER", help=say("benchmark.help.output"))
    for flag in ("small", "keep", "write_table", "dry_run", "json"):
        key = f"benchmark.help.{flag}"
        told = say(key if has_text(key) else f"migration.help.{flag}")
        parser.add_argument(f"--{flag.replace('_', '-')}", action="store_true", help=told)
    return parser.parse_args(arguments)


def _one_of(names: Sequence[str]) -> Callable[[str], list[str]]:
    """Reads words separated by commas; ValueError where one is none of `names`. Their order is that of `names`."""

    def words(given: str) -> list[str]:
        wanted = {word.strip() for word in given.split(",") if word.strip()}
        if not wanted or not wanted <= set(names):
            raise ValueError(given)
        return [name for name in names if name in wanted]

    return words


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started ends in good order
    sys.exit(main())
