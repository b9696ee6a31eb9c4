"""What can be asked of a switchover, and how it is kept in the switch's row, so that any process can go on with it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

from generation_service.jobs.model import Json
from generation_service.jobs.routing import Rollout, rollout_of

CRITERIA = ("root_cause", "load_test", "no_leak", "approved_by")
"""What people must have seen to before a roll-forward; each is told in their own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """Everything to in-process execution, now.

    `include_running`: running jobs are taken over from their last step, too; else they end where they
    are. `keep_workers`: the RQ part stays switched on. `after`: only while the mode of this epoch is in
    force. `evidence`: what a trigger has seen. `source`: operator or trigger.
    """

    reason: str
    said_by: str
    source: str = "operator"
    include_running: bool = True
    keep_workers: bool = False
    after: int | None = None
    evidence: Mapping[str, Json] = field(default_factory=dict)

    def as_json(self) -> dict[str, Json]:
        """What a process that goes on with it must know."""
        return {"include_running": self.include_running, "keep_workers": self.keep_workers}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollforward:
    """New jobs of the projects that `rollout` covers go to RQ again; each job stays with the backend it has.

    `carry`: waiting takes along what waits, too. `criteria`: what people say to each of CRITERIA;
    `force` goes on though gates fail. `source`: operator or trigger.
    """

    reason: str
    said_by: str
    source: str = "operator"
    rollout: Rollout = field(default_factory=Rollout)
    carry: Literal["nothing", "waiting"] = "nothing"
    criteria: Mapping[str, str | None] = field(default_factory=dict)
    force: bool = False
    after: int | None = None

    def as_json(self) -> dict[str, Json]:
        """What a process that goes on with it must know."""
        given = {name: storable(self.criteria.get(name) or "") or None for name in CRITERIA}
        return {"rollout": asdict(self.rollout), "carry": self.carry, "criteria": given, "force": self.force}


def storable(said: str) -> str:
    """What somebody says as either database takes it: without NUL, and without bytes that were no text."""
    return said.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for, as a process that goes on with the switch reads it."""

    include_running: bool = True
    keep_workers: bool = False
    rollout: Rollout = field(default_factory=Rollout)
    carry: str = "nothing"
    criteria: Mapping[str, str | None] = field(default_factory=dict)
    force: bool = False

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> Self:
        rollout = asked.get("rollout", {})
        known = {"rollout": rollout_of(rollout.get("percent", 100), rollout.get("projects", ()))}
        names = {one.name for one in fields(cls)}  # another version may have asked for more
        return cls(**{name: value for name, value in {**asked, **known}.items() if name in names})
