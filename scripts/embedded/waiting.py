"""Wait for a server to answer: ask often, stop asking at a deadline or when the server has died."""

import time
from collections.abc import Callable

_PAUSE_SECONDS = 0.02


def wait_until(condition: Callable[[], bool], timeout_seconds: float, pause_seconds: float = _PAUSE_SECONDS) -> bool:
    """Whether `condition` came true within `timeout_seconds`."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_seconds)
    return True
