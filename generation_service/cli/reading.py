"""What a reader of a job's events knows about it: its steps, its progress, and the text written so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from generation_service.cli.follow import Event

STEPS = ("snapshot", "doc_ingest", "external", "context", "signal", "validation", "index", "insight")


@dataclass(slots=True)
class StepReading:
    """One step: its status, and why it was skipped or failed."""

    status: str = "pending"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Piece:
    sequence: int
    step: str
    text: str


@dataclass(slots=True)
class Reading:
    """Built from events alone, in order; the same events give the same reading."""

    status: str = "pending"
    backend: str = ""
    attempt: int = 1
    progress: float = 0.0
    steps: dict[str, StepReading] = field(default_factory=lambda: {name: StepReading() for name in STEPS})
    _pieces: list[_Piece] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Take in one event."""
        data = event.data
        self.attempt = int(data.get("attempt", self.attempt))
        self.backend = str(data.get("backend", self.backend))
        self.progress = float(data.get("progress", self.progress))
        if event.type == "step":
            self._take_step(data)
        elif event.type == "token":
            self._pieces.append(_Piece(event.sequence, str(data.get("step", "")), str(data.get("text", ""))))
        elif "status" in data:
            self.status = str(data["status"])
        elif event.type == "retry":
            self.status = "pending"
        if self.status == "completed":
            self.progress = 100.0

    def text(self) -> str:
        """The text of the step that is being written, without what was discarded."""
        writing = self._pieces[-1].step if self._pieces else ""
        return "".join(piece.text for piece in self._pieces if piece.step == writing)

    def _take_step(self, data: Mapping[str, Any]) -> None:
        name, error = str(data.get("step", "")), data.get("error")
        reason = str(data.get("reason") or (error or {}).get("message") or "")
        self.steps[name] = StepReading(str(data.get("status", "")), reason)
        if "discard_after" in data:
            kept = int(data["discard_after"])
            self._pieces = [piece for piece in self._pieces if piece.step != name or piece.sequence <= kept]
