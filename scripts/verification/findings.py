"""What a check found: a value against its limit, or why there is none."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from scripts.tool import say

Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the checklist. `note` is the key of a text below `verification.note`, with its parameters."""

    check: str
    outcome: Outcome
    value: str = ""
    limit: str = ""
    note: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def explained(self) -> str:
        """The note in words; '' where there is none."""
        return say(f"verification.note.{self.note}", **self.params) if self.note else ""

    def as_json(self) -> dict[str, Any]:
        """The finding for a program."""
        return {
            "check": self.check,
            "outcome": self.outcome,
            "value": self.value,
            "limit": self.limit,
            "note": self.explained or None,
        }


class Missed(Exception):
    """A check could not get what it needs; `note` says why, as in a finding."""

    def __init__(self, note: str, **params: object) -> None:
        super().__init__(note)
        self.note = note
        self.params = params


def judged(check: str, value: object, limit: object, *, ok: bool, note: str | None = None, **params: object) -> Finding:
    """A finding that passed or failed; the note is said where it failed."""
    outcome: Outcome = "passed" if ok else "failed"
    told = None if ok else note
    return Finding(check=check, outcome=outcome, value=str(value), limit=str(limit), note=told, params=params)


def look(check: str, limit: str, judge: Callable[[], Finding]) -> Finding:
    """What `judge` finds; where it could not look at all, a failure: what is not seen is not verified."""
    try:
        return judge()
    except Missed as missed:
        return Finding(check=check, outcome="failed", limit=limit, note=missed.note, params=missed.params)
