"""What the row of event streams tells its two processes, the one that writes events and the one that reads them."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

TOKEN = "한 장면이 끝나고 다음 장면이 시작된다. "  # noqa: S105 - text, as a model writes it in a tenth of a second
MARK = "tick"
"""The field of an event's data that names the transaction it was written in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`readers` streams over `jobs`; `events` events in all, `rate` a second, each job's turn in order.

    `commits` is the file in which the writer says when (monotonic seconds) each of its transactions was committed.
    """

    url: str
    database_url: str
    redis_url: str | None
    jobs: Sequence[str]
    readers: int
    rate: float
    events: int
    commits: Path

    @property
    def last(self) -> int:
        """The number of the last event of each job: one was there when it was accepted."""
        return 1 + self.events // len(self.jobs)

    def text(self) -> str:
        """The plan as JSON."""
        return json.dumps({**asdict(self), "commits": str(self.commits)})

    @classmethod
    def read(cls) -> Self:
        """The plan on standard input."""
        found: dict[str, Any] = json.load(sys.stdin)
        return cls(**{**found, "commits": Path(found["commits"])})
