"""The report of a switch as a page of Markdown."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from generation_service.switching.switches import Switch
from generation_service.texts import Language, text

_MARKS = re.compile(r"([\\`*_{}\[\]<>#|!])")


def markdown(switch: Switch, told: Mapping[str, Any], language: Language) -> str:
    """`told` holds the report's fields, in words."""
    return "\n".join(_lines(switch, told, language)) + "\n"


def plain(said: object) -> str:
    """What somebody has said, on one line and without any meaning to Markdown."""
    return _MARKS.sub(r"\\\1", " ".join(str(said).split()))


def _lines(switch: Switch, told: Mapping[str, Any], language: Language) -> Iterator[str]:
    def word(name: str) -> str:
        return text(f"switching.report.{name}", language)

    yield from (f"# {word(f'title.{switch.kind}')} {switch.id}", "")
    yield from ("| | |", "|---|---|")
    for name, value in (
        ("timestamp", told["timestamp"]),
        ("lasted", told["duration"] or "-"),
        ("status", told["current_status"]),
        ("said_by", f"{told['said_by']} ({told['source']})"),
        ("affected_users", told["affected_users"]),
        ("jobs_moved", told["jobs_moved"]),
        ("failed_jobs", told["failed_jobs"]),
    ):
        yield f"| {word(name)} | {plain(value)} |"
    yield from _section(word("root_cause"), [plain(told["root_cause"])], mark="")
    if told["evidence"]:
        shown = json.dumps(told["evidence"], ensure_ascii=False, sort_keys=True, indent=2).splitlines()
        yield from _section(word("evidence"), [f"    {line}" for line in shown], mark="")
    yield from _section(word("jobs_before"), _found(told["jobs_found"], language))
    yield from _section(word("actions"), map(plain, told["actions_taken"]))
    yield from _section(word("findings"), [plain(one) for one in told["findings"]] or [word("none")])
    if told["next_steps"]:
        yield from _section(word("next_steps"), told["next_steps"], mark="- [ ] ")


def _section(title: str, lines: Iterable[str], mark: str = "- ") -> Iterator[str]:
    yield from ("", f"## {title}", "")
    for line in lines:
        yield f"{mark}{line}"


def _found(jobs: Mapping[str, Mapping[str, int]], language: Language) -> list[str]:
    return [
        text("switching.report.jobs_before.line", language, backend=f"`{backend}`", **counts)
        for backend, counts in jobs.items()
    ]
