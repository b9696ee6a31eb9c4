"""The benchmark: its arithmetic, what it writes, and each row once for real, small, whose times nobody judges."""

import json
import math
import os
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from generation_service.errors import ConfigurationError
from scripts import benchmark
from scripts.benchmarks import databases, disk, plot, report, table, throughput, written
from scripts.benchmarks.ground import Ground, sweep
from scripts.benchmarks.http_load import Plan
from scripts.benchmarks.model import Figure, Size
from scripts.benchmarks.peers import dbos_steps
from scripts.benchmarks.report import Report, Result
from scripts.benchmarks.rows import ROWS
from tests.support.provider import Provider

MACHINE = {"cores": 2, "processor": "P", "memory_gb": 8.0, "kernel": "Linux 6", "file_system": "ext4"}
FASTER = Figure(
    name="jobs", unit="jobs/s", better="more", rounds=[90, 300, 120], goal=3, peer="q", peer_rounds=[30, 40]
)
SMALLER = Figure(name="memory", unit="MB", better="less", rounds=[250.0], goal=200)


def report_of(*figures: Figure, name: str = "row", error: str | None = None, **given: Any) -> Report:
    made: dict[str, Any] = {
        "machine": MACHINE,
        "versions": {"python": "3.11", "dbos": "-"},
        "size": "full",
        "rounds": 3,
        "load_before": 0.5,
        "began_at": "2026-01-02T03:04:05+00:00",
    }
    results = [Result(name=name, caption="A row", figures=figures, error=error)]
    return Report(**{**made, "results": results, **given})


@dataclass
class Row:
    """A row that measures nothing."""

    name: str
    figures: Sequence[Figure] = ()
    error: Exception | None = None
    caption: str = "A row"
    asked: list[Size] = field(default_factory=list)

    def measure(self, ground: Ground, size: Size) -> list[Figure]:
        self.asked.append(size)
        ground.say("on the way")
        if self.error:
            raise self.error
        return list(self.figures)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    made = [Row("first", [FASTER]), Row("second", [SMALLER])]
    monkeypatch.setattr(benchmark, "ROWS", made)
    return made


# Figures


def test_the_median_of_the_rounds_counts_and_the_ratio_is_of_two_medians() -> None:
    assert (FASTER.value, FASTER.peer_value) == (120, 35)
    assert FASTER.ratio == pytest.approx(120 / 35)
    assert FASTER.judged == FASTER.ratio
    assert FASTER.met


def test_a_goal_without_a_peer_is_held_against_the_value() -> None:
    assert SMALLER.judged == 250
    assert SMALLER.met is False
    assert replace(SMALLER, goal=250).met


def test_of_a_ratio_where_less_is_better_the_goal_is_an_upper_bound() -> None:
    slower = Figure(name="read", unit="ms", better="less", rounds=[3.0], peer="small", peer_rounds=[2.0], goal=1.5)

    assert slower.met
    assert replace(slower, rounds=[3.1]).met is False


@pytest.mark.parametrize("peer_rounds", [(), (0.0,)])
def test_without_a_peers_number_nothing_is_judged(peer_rounds: Sequence[float]) -> None:
    figure = replace(FASTER, peer_rounds=peer_rounds, missing="q is not installed")

    assert (figure.ratio, figure.met) == (None, None)
    assert report_of(figure).left == ["jobs"]


def test_without_a_round_there_is_no_value() -> None:
    assert replace(SMALLER, rounds=[]).value is None
    assert replace(SMALLER, rounds=[]).met is None


# What is written


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = report_of(FASTER, SMALLER)
    made.write(tmp_path / "results.json")

    found = report.read(tmp_path / "results.json")

    assert found is not None
    assert found.as_json() == made.as_json()
    assert found.figures[0] == replace(FASTER, rounds=[90, 300, 120])


@pytest.mark.parametrize("content", ["", "{}", '{"schema": 0}', '{"schema": 1, "rows": 3}'])
def test_a_file_of_another_form_is_no_report(tmp_path: Path, content: str) -> None:
    (tmp_path / "results.json").write_text(content, encoding="utf-8")

    assert report.read(tmp_path / "results.json") is None


def test_rows_of_an_earlier_run_are_kept_and_a_new_measure_takes_the_place_of_the_old() -> None:
    later, order = report_of(results=[]), ["row", "other"]
    later.keep(report_of(FASTER))
    later.put(Result(name="other", caption="", figures=[SMALLER]), order)
    later.put(Result(name="row", caption="", figures=[]), order)

    assert [one.name for one in later.results] == order
    assert later.figures == [SMALLER]


@pytest.mark.parametrize("other", [{"machine": {**MACHINE, "cores": 4}}, {"versions": {}}, {"size": "small"}])
def test_rows_of_another_machine_other_versions_or_size_are_not_kept(other: dict[str, Any]) -> None:
    later = report_of(results=[])
    later.keep(report_of(FASTER, **other))

    assert later.results == []


def test_the_plot_is_well_formed_and_has_a_bar_for_each_goal() -> None:
    named = replace(FASTER, name="a < b & c")
    unknown = replace(SMALLER, rounds=[], missing="no server")
    without_goal = replace(SMALLER, name="without", goal=None)

    drawn = ET.fromstring(plot.svg(report_of(named, SMALLER, unknown, without_goal)))  # noqa: S314 - our own

    space = "{http://www.w3.org/2000/svg}"
    words = [one.text for one in drawn.iter(f"{space}text")]
    assert "a < b & c" in words
    assert "no server" in words
    assert "without" not in words
    assert len(list(drawn.iter(f"{space}rect"))) == 1 + 2  # the ground, and what was measured


def test_a_bar_is_as_long_as_the_goal_was_reached_whichever_way_is_better() -> None:
    assert plot.reached(FASTER) == pytest.approx(120 / 35 / 3)
    assert plot.reached(SMALLER) == pytest.approx(0.8)
    assert plot.reached(replace(SMALLER, rounds=[0.0])) == math.inf
    assert plot.reached(replace(SMALLER, goal=0)) == 0
    assert plot.reached(replace(SMALLER, rounds=[])) is None


@pytest.mark.parametrize("given", [{"rounds": [0.0]}, {"goal": 0}, {"goal": 0, "rounds": [0.0]}])
def test_nothing_missed_can_be_drawn_and_so_can_something(given: dict[str, Any]) -> None:
    ET.fromstring(plot.svg(report_of(replace(SMALLER, **given))))  # noqa: S314 - our own


@pytest.mark.parametrize(
    ("figure", "size", "said"),
    [
        (FASTER, "full", "met"),
        (SMALLER, "full", "not_met"),
        (SMALLER, "small", "not_judged"),
        (replace(SMALLER, goal=None), "full", "no_goal"),
        (replace(FASTER, missing="q is not there"), "full", "missing"),
        (replace(FASTER, missing="q is not there"), "small", "missing"),
    ],
)
def test_each_figure_has_its_verdict(figure: Figure, size: Size, said: str) -> None:
    assert table.verdict(figure, report_of(size=size)) == said


def test_the_table_is_replaced_and_what_stands_around_it_is_left(tmp_path: Path) -> None:
    page = tmp_path / "PAGE.md"
    page.write_text(f"before\n{written.BEGIN}\nold\n{written.END}\nafter\n", encoding="utf-8")

    alone = replace(FASTER, name="alone", missing="q is not there", peer_rounds=())

    for _ in range(2):
        written.write(page, report_of(replace(FASTER, note="with one slot"), alone))

    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{written.BEGIN}\n")
    assert text.endswith(f"{written.END}\nafter\n")
    assert "old" not in text
    assert "| jobs | 120 jobs/s | q: 35 jobs/s | 3.43 × | ≥ 3 × | met | with one slot |" in text
    assert "| alone | 120 jobs/s | q |  | ≥ 3 × | missing: q is not there |  |" in text
    assert text.count("2 cores, P, 8 GB, Linux 6, ext4") == 1


def test_a_page_without_a_place_for_the_table_is_not_touched(tmp_path: Path) -> None:
    page = tmp_path / "PAGE.md"
    page.write_text("nothing\n", encoding="utf-8")

    with pytest.raises(ConfigurationError):
        written.write(page, report_of(FASTER))

    assert page.read_text(encoding="utf-8") == "nothing\n"


def test_the_projects_own_page_has_a_place_for_the_table() -> None:
    text = Path("ops/BENCHMARKS.md").read_text(encoding="utf-8")

    assert text.count(written.BEGIN) == text.count(written.END) == 1
    assert [row.name for row in ROWS if f"`{row.name}`" not in text] == []


@pytest.mark.parametrize(("language", "met"), [("en", "NOT met"), ("ko", "미달")])
def test_the_tables_are_shown_in_the_terminals_language(
    language: str, met: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LC_ALL", f"{language}_KR.UTF-8")

    table.show(report_of(FASTER, replace(SMALLER, note="of two"), name="slots"))
    table.show(report_of(error="ValueError: it broke"))

    said = capsys.readouterr().out
    assert met in said
    assert "memory: of two" in said
    assert "ValueError: it broke" in said


# The command


@pytest.mark.parametrize("wrong", [["--only", "nothing"], ["--only", ""], ["--engine", "mysql"], ["--rounds", "0"]])
def test_wrong_use_is_told_before_anything_starts(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        benchmark.main(wrong)

    assert ended.value.code == 2


def test_a_dry_run_measures_nothing_and_names_the_peers_that_are_not_there(
    rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark.machine, "PEERS", ("no-such-peer", "pytest"))
    monkeypatch.setattr(benchmark.machine, "LIBRARIES", ("no-such-peer", "pytest"))

    assert benchmark.main(["--dry-run", "--json", "--output", str(tmp_path / "out")]) == 0

    plan = json.loads(capsys.readouterr().out)
    assert plan["rows"] == ["first", "second"]
    assert "no-such-peer" in plan["missing"]
    assert "pytest" not in plan["missing"]
    assert not (tmp_path / "out").exists()
    assert [row.asked for row in rows] == [[], []]


def test_a_row_that_fails_is_said_and_the_others_are_measured(
    rows: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows[0].error = RuntimeError("the server is gone")

    assert benchmark.main(["--small", "--json", "--output", str(tmp_path)]) == 1

    said = capsys.readouterr()
    first, second = json.loads(said.out)["rows"]
    assert first["error"] == "RuntimeError: the server is gone"
    assert second["figures"][0]["value"] == 250
    assert "first: on the way" in said.err
    assert rows[1].asked == ["small"]


def test_a_goal_that_is_not_met_is_left_and_a_small_run_judges_none(rows: list[Row], tmp_path: Path) -> None:
    output = ["--output", str(tmp_path)]

    assert benchmark.main(["--only", "first", *output]) == 0
    assert benchmark.main(["--only", "second", *output]) == 1
    assert benchmark.main(["--only", "second", "--small", *output]) == 0


def test_what_is_kept_of_an_earlier_run_is_in_the_files_again(rows: list[Row], tmp_path: Path) -> None:
    output = ["--output", str(tmp_path)]

    benchmark.main(["--only", "second", *output])
    benchmark.main(["--only", "first", "--keep", *output])

    found = report.read(tmp_path / "results.json")
    assert found is not None
    assert [one.name for one in found.results] == ["first", "second"]
    assert "memory" in (tmp_path / "plot.svg").read_text(encoding="utf-8")


# The ground


def test_beside_the_slowest_answers_stands_how_long_the_disk_kept_everybody_waiting() -> None:
    assert disk.in_words([43.2, 280.4], [0.04, 2.5]).endswith(": 43 (0.0 s), 280 (2.5 s)")
    assert disk.in_words([], []) == ""
    assert disk.DiskWait().seconds() >= 0


def test_an_open_loop_whose_last_answer_came_early_ends_at_its_end(provider: Provider) -> None:
    port = int(provider.url.rpartition(":")[2])
    plan = Plan(host="127.0.0.1", port=port, path="/nothing", connections=2, rate=9.0, seconds=1.0, warm_seconds=0.0)

    outcome = plan.run()

    assert (list(outcome.statuses), outcome.unanswered) == (["404"], 0)


def test_a_benchmarks_database_writes_to_the_disk_at_each_commit() -> None:
    with Ground() as ground, ground.database("postgresql") as url, psycopg.connect(url) as connection:
        said = [connection.execute(f"SHOW {name}").fetchone() for name in ("fsync", "synchronous_commit")]

    assert said == [("on",), ("on",)]


def test_everything_that_a_benchmark_starts_ends_with_it() -> None:
    with Ground(engines=["sqlite"]) as ground, ground.database("sqlite") as url, ground.service(url) as service:
        worker = service.worker()
        family = [*worker.family(), psutil.Process(ground.redis.pid)]
        used = worker.cpu_seconds(), worker.rss_mb(), worker.pss_mb()
        folder = ground.folder

    assert min(used) > 0
    assert [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    assert not folder.exists()


def test_what_a_killed_run_left_is_removed_by_the_next(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name, owner in {"gs-bench-gone": 2**22 + 1, "gs-bench-alive": os.getpid(), "another": 2**22 + 1}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "owner").write_text(f"{owner}\n", encoding="ascii")

    sweep()

    assert sorted(one.name for one in tmp_path.iterdir()) == ["another", "gs-bench-alive"]


# Peers and servers that are not there


def test_a_peer_that_is_not_installed_is_said_in_its_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbos_steps, "is_installed", lambda: False)

    (figure,) = throughput.against_dbos(["postgresql"], throughput.no_rounds(), {})

    assert "dbos is not installed" in (figure.missing or "")
    assert figure.met is None


def test_a_server_that_is_not_there_is_said_in_its_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none() -> None:
        raise ConfigurationError("no PostgreSQL was found\nlook there")

    monkeypatch.setattr(databases, "find_programs", none)

    with Ground(engines=["postgresql"], rounds=1) as ground:
        figures = throughput.ROW.measure(ground, "small")

    assert {figure.missing for figure in figures} == {"no PostgreSQL was found"}


# Each row once, for real, on one engine or the other by turns


@pytest.fixture
def measured(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    engine = ("sqlite", "postgresql")[[row.name for row in ROWS].index(request.param) % 2]
    options = ["--small", "--engine", engine, "--only", request.param]
    code = benchmark.main([*options, "--json", "--output", str(tmp_path)])
    content = json.loads(capsys.readouterr().out)
    assert code == 0, content["rows"][0]["error"]
    ET.parse(tmp_path / "plot.svg")  # noqa: S314 - our own
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8")) == content
    return content


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("measured", [row.name for row in ROWS], indirect=True)
def test_a_row_can_be_measured_in_its_small_size(measured: Any) -> None:
    (row,) = measured["rows"]

    assert row["error"] is None
    assert row["figures"]
    for figure in row["figures"]:
        assert figure["missing"] or figure["value"] >= 0, figure
        assert figure["missing"] or not figure["peer"] or figure["ratio"] > 0, figure
        assert figure["better"] in {"more", "less"}
