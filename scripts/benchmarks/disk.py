"""What the disk had to do with a figure: a commit waits for it, and on a shared machine it sometimes makes all wait."""

from collections.abc import Sequence

import psutil


class DiskWait:
    """How long the processors had nothing to do but wait for a disk, since it was made; zero where nobody says."""

    def __init__(self) -> None:
        self._before = _iowait()

    def seconds(self) -> float:
        """In seconds, of all processors together."""
        return _iowait() - self._before


def in_words(values: Sequence[float], waits: Sequence[float]) -> str:
    """What each round measured, in ms, beside the seconds for which the processors waited for the disk meanwhile."""
    each = ", ".join(f"{value:.0f} ({waited:.1f} s)" for value, waited in zip(values, waits, strict=True))
    return f"rounds, and how long the processors waited for the disk meanwhile: {each}" if each else ""


def _iowait() -> float:
    return float(getattr(psutil.cpu_times(), "iowait", 0.0))
