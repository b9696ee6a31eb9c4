"""Python's garbage collector, told what a long-lived process knows: what is there at its start stays."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

_YOUNG_OBJECTS = 5_000
_MIDDLE_COLLECTIONS_A_FULL_ONE = 100
"""Python's own is 10. That many come with about 700,000 objects more than were freed."""


def load(module: str) -> Any:
    """Import a module, with all that it imports, and collect nothing meanwhile."""
    with loading():
        return import_module(module)


@contextmanager
def loading() -> Iterator[None]:
    """Collect nothing meanwhile: what a process loads stays, and looking for garbage in it was an eighth of a start."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def spare_pauses() -> None:
    """Keep full collections short and rare; called once, when a process has loaded what it needs.

    Each stops every event stream (measured: 200 ms with 1,000 of them, of 300 objects each), and in a worker of
    200 jobs at once collections were a tenth of the processor's time.
    """
    gc.collect()
    gc.freeze()  # what is there by now stays for good: no collection looks at it again
    gc.set_threshold(_YOUNG_OBJECTS, gc.get_threshold()[1], _MIDDLE_COLLECTIONS_A_FULL_ONE)
