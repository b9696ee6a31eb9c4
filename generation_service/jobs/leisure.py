"""Leisure: long upkeep rests after each piece of its work, in a process that has people to answer meanwhile."""

import asyncio
import time

_REST = 9.0  # times as long as a piece took
_LONGEST_SECONDS = 1.0


class Leisure:
    """Takes a tenth of the time, in small pieces: an answer waits for one of them, not for all of the upkeep."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def rest(self) -> None:
        """Rest `_REST` times as long as has passed since the last rest, or since this was made; a second at most."""
        worked = time.monotonic() - self._since
        await asyncio.sleep(min(_REST * worked, _LONGEST_SECONDS))
        self._since = time.monotonic()
