"""Says what a backup, or what was restored from it, holds: a line a kind."""

from collections.abc import Mapping
from typing import Any

from scripts.tool import say, show


def tell_figures(figures: Mapping[str, Any], objects: int | None) -> None:
    """Show the counts of `backup_figures.figures`, and how many objects there are, where that is known."""
    for name, value in figures.items():
        show(say("backup.line", label=say(f"backup.label.{name}"), value=_value(value)))
    if objects is not None:
        show(say("backup.line", label=say("backup.label.objects"), value=objects))


def _value(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    return ", ".join(f"{name} {count}" for name, count in value.items()) or "0"
