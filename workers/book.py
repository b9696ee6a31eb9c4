"""What happens in a worker, as notes that are still to be written to Redis."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from workers.payload import Delivery, ForeignEntry

Outcome = Literal["finished", "failed", "stopped"]

_MOST_PENDING = 10_000  # endings kept while Redis is away; those beyond it are cleaned up as leftovers


@dataclass(frozen=True, slots=True)
class Ended:
    """A delivery whose run has ended, as RQ shall see it."""

    delivery: Delivery
    outcome: Outcome
    at: datetime


@dataclass(slots=True)
class Page:
    """What has happened since the last round trip."""

    started: dict[str, Delivery] = field(default_factory=dict)  # by execution id
    ended: list[Ended] = field(default_factory=list)
    returned: list[Delivery] = field(default_factory=list)
    removed: list[ForeignEntry] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.started or self.ended or self.returned or self.removed)

    def before(self, later: "Page") -> "Page":
        """This page, which could not be written, and what has happened since."""
        ended = {one.delivery.execution_id for one in later.ended}
        started = {key: one for key, one in self.started.items() if key not in ended}
        return Page(
            started | later.started,
            (self.ended + later.ended)[-_MOST_PENDING:],
            self.returned + later.returned,
            self.removed + later.removed,
        )


@dataclass(slots=True)
class Counts:
    """What `rq info` shows of this worker since it began."""

    successful: int = 0
    failed: int = 0
    working_seconds: float = 0.0

    def add(self, ended: Ended) -> None:
        if ended.outcome == "finished":
            self.successful += 1
        else:
            self.failed += 1
        self.working_seconds += (ended.at - ended.delivery.popped_at).total_seconds()
