"""What backing up and restoring say: what a backup holds, a line a kind, and how each of the two ended."""

from collections.abc import Callable, Mapping
from typing import Any

from generation_service.errors import ConfigurationError, DatabaseUnavailable, ServiceError
from scripts.tool import INTERRUPTED, LEFT, WRONG_USE, say, show, tell


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


def ended(body: Callable[[], int]) -> int:
    """Run `body`; its exit code, or the one of what it raised, which is told in one line."""
    try:
        return body()
    except KeyboardInterrupt:
        return INTERRUPTED
    except DatabaseUnavailable:
        tell(say("migration.database_away"))
        return LEFT
    except OSError as error:
        tell(say("backup.no_room", reason=error.strerror))
        return LEFT
    except ServiceError as error:
        tell(error.message)
        return WRONG_USE if isinstance(error, ConfigurationError) else LEFT
