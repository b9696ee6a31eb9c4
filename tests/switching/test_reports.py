"""The report of a switch says the same as JSON, YAML and Markdown, in both languages; nothing said breaks its form."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation_service.database import Database, db_now
from generation_service.switching import reports
from generation_service.switching.report_yaml import dump
from generation_service.switching.status_page import status_page
from tests.support.switchovers import ROLLBACK, ROLLFORWARD, Switching, switching

# The fields that the team's template for a report has
TEMPLATE = (
    "timestamp",
    "duration",
    "affected_users",
    "failed_jobs",
    "root_cause",
    "actions_taken",
    "current_status",
    "next_steps",
)
NASTY = '# x: [y] "z"\n| a | *b* <script>'


@pytest.fixture
async def service(database: Database, redis_url: str) -> AsyncIterator[Switching]:
    async with switching(database, redis_url) as built:
        await built.jobs.say("rq")
        yield built


async def test_the_report_has_the_fields_of_the_template_and_true_figures(service: Switching) -> None:
    await service.jobs.waiting(3)

    told = reports.as_json(await service.switchover.rollback(ROLLBACK))["rollback_report"]

    assert list(told)[: len(TEMPLATE)] == list(TEMPLATE)
    assert (told["affected_users"], told["failed_jobs"], told["jobs_moved"]) == (1, 0, 3)
    assert (told["root_cause"], told["current_status"], told["findings"]) == ("a test", "STABLE", [])
    assert len(told["actions_taken"]) == 5
    assert "3 jobs moved (3 waiting, 0 scheduled, 0 running)" in told["actions_taken"][1]


async def test_jobs_that_fail_after_the_switch_began_are_counted(service: Switching) -> None:
    async def fail_one() -> None:
        await service.jobs.change(job, status="failed", completed_at=db_now(60))

    (job,) = await service.jobs.waiting(1)
    service.sync.before = fail_one

    switch = await service.switchover.rollback(ROLLBACK)

    assert switch.report["outcome"]["failed_jobs"] == 1


async def test_the_report_of_a_switch_under_way_says_so(service: Switching) -> None:
    await service.abandoned(service.sync, ROLLBACK)
    switch = await service.switchover.under_way()
    assert switch is not None

    told = reports.as_json(switch)

    assert (told["status"], told["outcome"], told["rollback_report"]["current_status"]) == (
        "running",
        None,
        "IN PROGRESS",
    )
    assert "flag" not in reports.as_markdown(switch)
    assert "rollback_report:" in reports.as_yaml(switch)


async def test_a_rollforward_has_its_own_report(service: Switching) -> None:
    told = reports.as_json(await service.switchover.rollforward(ROLLFORWARD))

    assert told["rollforward_report"]["next_steps"][0].startswith(("Raise", "See"))


async def test_people_read_it_in_their_language(service: Switching) -> None:
    switch = await service.switchover.rollback(ROLLBACK)

    english, korean = reports.as_markdown(switch, "en"), reports.as_markdown(switch, "ko")

    assert "# Rollback report" in english
    assert "# 롤백 보고서" in korean
    assert reports.as_json(switch, "ko")["rollback_report"]["current_status"] == "안정"


async def test_what_somebody_said_stays_text(service: Switching) -> None:
    switch = await service.switchover.rollback(replace(ROLLBACK, reason=NASTY))

    assert json.dumps(NASTY)[1:-1] in reports.as_yaml(switch)
    page = reports.as_markdown(switch).splitlines()
    assert not any(line.startswith("# x") for line in page)
    assert "<script>" not in "\n".join(page).replace("\\<script\\>", "")


async def test_the_status_page_says_mode_since_why_and_what_redis_is_for(service: Switching) -> None:
    normal = await service.database.read(lambda connection: status_page(connection, "en"))
    switch = await service.switchover.rollback(ROLLBACK)
    rollback = await service.database.read(lambda connection: status_page(connection, "en"))
    korean = await service.database.read(lambda connection: status_page(connection, "ko"))

    assert "## Current System Status: DURABLE WORKER MODE" in normal
    assert "## Current System Status: ROLLBACK MODE" in rollback
    assert "- Reason: a test" in rollback
    assert "- Redis: not needed" in rollback
    assert switch.id in rollback
    assert "롤백 모드" in korean


def test_before_anyone_has_said_a_mode_there_is_a_page(database: Database) -> None:
    assert "Nobody has said a mode yet" in database.read_now(lambda connection: status_page(connection, "en"))


# YAML, read back by the few rules it is written by

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
KEYS = st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
def test_whatever_is_written_is_read_back(value: dict[str, Any]) -> None:
    lines = dump(value).rstrip("\n").split("\n")

    assert Reader(lines).block(0) == value


@pytest.mark.parametrize("word", ["no", "Yes", "on", "null", "true", "y"])
def test_a_key_that_would_be_read_as_something_else_is_quoted(word: str) -> None:
    assert dump({word: word}) == f'"{word}": "{word}"\n'


class Reader:
    """Reads block style with quoted texts, as YAML 1.2 has it."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.at = 0

    def block(self, depth: int) -> Any:
        is_list = self.lines[self.at].startswith("  " * depth + "-")
        found: Any = [] if is_list else {}
        while self.at < len(self.lines) and self._depth() == depth:
            line = self.lines[self.at][2 * depth :]
            self.at += 1
            if is_list:
                found.append(self._value(line[1:].strip(" "), depth))
            else:
                key, rest = self._key(line)
                found[key] = self._value(rest.strip(" "), depth)
        return found

    def _depth(self) -> int:
        line = self.lines[self.at]
        return (len(line) - len(line.lstrip(" "))) // 2

    def _key(self, line: str) -> tuple[str, str]:
        if not line.startswith('"'):
            key, _, rest = line.partition(":")
            return key, rest
        end = 1
        while line[end] != '"':
            end += 2 if line[end] == "\\" else 1
        return self._scalar(line[: end + 1]), line[end + 2 :]

    def _value(self, text: str, depth: int) -> Any:
        return self._scalar(text) if text else self.block(depth + 1)

    def _scalar(self, text: str) -> Any:
        if not text.startswith('"'):
            return json.loads(text)
        out, at = "", 1
        while at < len(text) - 1:
            if text[at] != "\\":
                out, at = out + text[at], at + 1
            elif text[at + 1] == "U":
                out, at = out + chr(int(text[at + 2 : at + 10], 16)), at + 10
            else:
                out, at = out + {"n": "\n", "t": "\t", "r": "\r"}.get(text[at + 1], text[at + 1]), at + 2
        return out
