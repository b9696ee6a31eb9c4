"""The report of a run: machine, versions and what each row came to; written as JSON and read again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scripts.benchmarks.model import Figure, Size

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One row as it was measured; `error` is why it could not be."""

    name: str
    caption: str
    figures: Sequence[Figure] = ()
    measured_at: str = ""
    seconds: float = 0.0
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "caption": self.caption,
            "measured_at": self.measured_at,
            "seconds": round(self.seconds, 1),
            "error": self.error,
            "figures": [_figure_as_json(one) for one in self.figures],
        }


@dataclass(kw_only=True)
class Report:
    """One run, or several of the same machine and versions (`keep`)."""

    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    size: Size
    rounds: int
    load_before: float
    began_at: str
    results: list[Result] = field(default_factory=list)

    @property
    def figures(self) -> list[Figure]:
        return [figure for result in self.results for figure in result.figures]

    @property
    def left(self) -> list[str]:
        """What a full run leaves to be done: rows that failed, figures that are missing, goals not met."""
        failed = [result.name for result in self.results if result.error]
        return failed + [one.name for one in self.figures if one.missing or one.met is False]

    def keep(self, earlier: "Report") -> None:
        """Take over the rows of an earlier run on the same machine with the same versions."""
        if (dict(earlier.machine), dict(earlier.versions), earlier.size) == (
            dict(self.machine),
            dict(self.versions),
            self.size,
        ):
            self.results = list(earlier.results)

    def put(self, result: Result, order: Sequence[str]) -> None:
        """Note one row in the place of its name in `order`; it takes the place of an earlier measure of it."""
        others = [one for one in self.results if one.name != result.name]
        self.results = sorted([*others, result], key=lambda one: _place(one.name, order))

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "machine": dict(self.machine),
            "versions": dict(self.versions),
            "size": self.size,
            "rounds": self.rounds,
            "load_before": self.load_before,
            "began_at": self.began_at,
            "rows": [result.as_json() for result in self.results],
        }

    def write(self, path: Path) -> None:
        """Write it so that whoever reads meanwhile sees the one before or this one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".part")
        half.write_text(json.dumps(self.as_json(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        half.replace(path)


def read(path: Path) -> Report | None:
    """The report in a file; None where there is none, or one of another form."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            return None
        return Report(
            machine=content["machine"],
            versions=content["versions"],
            size=content["size"],
            rounds=content["rounds"],
            load_before=content["load_before"],
            began_at=content["began_at"],
            results=[_result(row) for row in content["rows"]],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _result(row: Mapping[str, Any]) -> Result:
    figures = [Figure(**{name: one[name] for name in _GIVEN}) for one in row["figures"]]
    return Result(**{**row, "figures": figures})


def _figure_as_json(figure: Figure) -> dict[str, Any]:
    derived = {"value": figure.value, "peer_value": figure.peer_value, "ratio": figure.ratio, "met": figure.met}
    return {**asdict(figure), "rounds": list(figure.rounds), "peer_rounds": list(figure.peer_rounds), **derived}


def _place(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)


_GIVEN = tuple(Figure.__dataclass_fields__)
