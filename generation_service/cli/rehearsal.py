"""`python -m generation_service.cli.rehearsal`: would a process of the API start, as things are now? Exit 0: it would.

What is in the way goes to standard output, a line each, without the values of secrets; a traceback, if
there is one, to standard error, which is the service's log. Nothing is started, and no port is taken.
"""

import sys
import traceback
from importlib import import_module

_FAILED = 1
_WRONG_CONFIGURATION = 2


def main() -> int:
    """Do what a new process does before it serves; the exit code."""
    try:
        serve = import_module("generation_service.cli.serve")
        errors = import_module("generation_service.errors")
    except Exception as error:  # noqa: BLE001 - the boundary: whatever a broken installation raises is what is asked for
        return _say_why(error)
    try:
        serve.rehearse()
    except errors.ConfigurationError as error:
        sys.stdout.write(f"{error.message}\n")
        return _WRONG_CONFIGURATION
    except Exception as error:  # noqa: BLE001 - the same boundary
        return _say_why(error)
    return 0


def _say_why(error: Exception) -> int:
    traceback.print_exc()
    # Without its message, which may hold anything; an import says what it did not find.
    said = f": {error}" if isinstance(error, (ImportError, SyntaxError)) else ""
    sys.stdout.write(f"{type(error).__name__}{said}\n")
    return _FAILED


if __name__ == "__main__":
    sys.exit(main())
