"""The alert rules: promtool takes them, each has its tests, and they speak of metrics that there are."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.stack import stack

FOLDER = Path("ops/prometheus")
RULES = sorted(FOLDER.glob("alerts*.yml"))
TESTS = sorted((FOLDER / "tests").glob("*.yml"))
PROMTOOL = shutil.which("promtool")
SCRAPED = {"up"}  # Prometheus's own

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not on this machine")


def alerts(rules: Path) -> dict[str, str]:
    """Expressions by the names of their alerts."""
    text = re.sub(
        r"expr: >-\n((?: {10}.*\n)+)", lambda found: f"expr: {' '.join(found[1].split())}\n", rules.read_text()
    )
    return dict(re.findall(r"- alert: (\w+)\n\s+expr: (.*)", text))


def metrics_in(expression: str) -> set[str]:
    bare = re.sub(r'\{[^}]*\}|"[^"]*"|\[\w+\]|\b(by|on) \([^)]*\)', " ", expression)
    words = set(re.findall(r"[a-z_]{2,}", bare))
    return words - {"max", "min", "sum", "and", "or", "on", "by", "increase", "max_over_time"}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of all samples that a service in durable mode shows."""
    folder = tmp_path_factory.mktemp("metrics")
    with stack(folder, f"sqlite:///{folder / 'generation.db'}", USE_DURABLE_WORKER="true", REDIS_PORT="1") as service:
        service.serve()
        text = service.http.get("/metrics").text
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


@needs_promtool
@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.stem)
def test_promtool_takes_the_rules(rules: Path) -> None:
    assert_well("check", "rules", rules)


@needs_promtool
def test_promtool_takes_the_example_of_a_configuration() -> None:
    assert_well("check", "config", FOLDER / "prometheus.yml")


@needs_promtool
@pytest.mark.parametrize("tests", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(tests: Path) -> None:
    assert_well("test", "rules", tests)


@needs_promtool
def test_a_rule_without_its_condition_on_the_mode_fails_its_tests(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    for path in [*RULES, *TESTS]:
        text = re.sub(r"\s+and on \(\) max\(system_rollback_active\) == [01]", "", path.read_text(encoding="utf-8"))
        (tmp_path / path.relative_to(FOLDER)).write_text(text, encoding="utf-8")

    for path in TESTS:
        assert promtool("test", "rules", tmp_path / path.relative_to(FOLDER)).returncode != 0


@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.stem)
def test_each_alert_is_tested_firing_and_not_firing(rules: Path) -> None:
    text = (FOLDER / "tests" / rules.name).read_text(encoding="utf-8")
    tested = re.findall(r"alertname: (\w+)\n\s+exp_alerts:( \[\])?", text)

    for name in alerts(rules):
        assert {(name, " []"), (name, "")} <= set(tested), name


def test_the_alerts_that_operators_know_are_there() -> None:
    assert "RQWorkerDown" in alerts(FOLDER / "alerts.yml")
    assert "BackgroundTasksHigh" in alerts(FOLDER / "alerts-rollback.yml")


@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.stem)
def test_rules_speak_of_metrics_that_the_service_shows(rules: Path, shown: set[str]) -> None:
    named = {name for expression in alerts(rules).values() for name in metrics_in(expression)}

    assert named
    assert named - SCRAPED <= shown


def promtool(*words: object) -> "subprocess.CompletedProcess[str]":
    assert PROMTOOL
    return subprocess.run([PROMTOOL, *map(str, words)], capture_output=True, text=True, check=False, timeout=60)


def assert_well(*words: object) -> None:
    done = promtool(*words)
    assert done.returncode == 0, done.stdout + done.stderr
