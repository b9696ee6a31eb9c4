"""What a benchmark measures: figures, the rows that give them, and how a figure is judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, Protocol

from scripts.benchmarks.ground import Ground

Size = Literal["full", "small"]
"""small: seconds, for a machine that checks; nobody judges its times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number: a value a round, of which the median counts.

    With a peer it is judged by `ratio`, without one by its value; `goal` is of whichever is judged.
    `missing` says which peer or server was not there.
    """

    name: str
    unit: str
    better: Literal["more", "less"]
    rounds: Sequence[float]
    goal: float | None = None
    peer: str | None = None
    peer_rounds: Sequence[float] = ()
    missing: str | None = None
    note: str = ""

    @property
    def value(self) -> float | None:
        """The median of the rounds; None where nothing was measured."""
        return median(self.rounds) if self.rounds else None

    @property
    def peer_value(self) -> float | None:
        """The median of the peer's rounds; None where it was not measured."""
        return median(self.peer_rounds) if self.peer_rounds else None

    @property
    def ratio(self) -> float | None:
        """This value over its peer's; None where one of them is not there, or the peer's is 0."""
        if self.value is None or not self.peer_value:
            return None
        return self.value / self.peer_value

    @property
    def judged(self) -> float | None:
        """What the goal is held against: the ratio where there is a peer, else the value."""
        return self.ratio if self.peer else self.value

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is no goal, or nothing to hold against it."""
        if self.goal is None or self.judged is None:
            return None
        return self.judged >= self.goal if self.better == "more" else self.judged <= self.goal


class Row(Protocol):
    """One row of the table: what is measured together. `name` is what `--only` takes."""

    @property
    def name(self) -> str: ...

    @property
    def caption(self) -> str: ...

    def measure(self, ground: Ground, size: Size) -> list[Figure]:
        """Measure it. A peer or a server that is not there is said in its figure (`missing`)."""
        ...
