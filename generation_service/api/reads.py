"""Reading event logs for many: whatever is asked for at the same time, of whichever jobs, is read by one query."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Protocol, TypeAlias

from generation_service.api.frames import Entry
from generation_service.jobs.event_log import MOST_PLACES, LogPage, Place
from generation_service.jobs.loops import Loop

_REST_SECONDS = 60.0  # it is nudged when there is something to do

Answer: TypeAlias = Callable[[Sequence[Entry], bool], None]
"""Takes the events behind a place, and whether these are all."""

Ask: TypeAlias = Callable[[Place, Answer], None]


class Log(Protocol):
    """What is read (`generation_service.jobs.event_log.EventLogs` has it)."""

    async def read(self, places: Sequence[Place]) -> Mapping[Place, LogPage]:
        """What is behind each of these places; those that are not answered are to be asked for again."""


class Reads:
    """Answers whoever asks; each event is encoded once for all who asked for it.

    What comes within `spacing_seconds` of a read waits for the next one.
    """

    def __init__(self, log: Log, *, name: str, spacing_seconds: float = 0.0) -> None:
        self._log = log
        self._spacing_seconds = spacing_seconds
        self._read_at = 0.0
        self._asked: dict[Place, list[Answer]] = {}
        self._loop = Loop(name=name, turn=self._turn, pause_seconds=_REST_SECONDS)

    def start(self) -> None:
        """Begin to read, on the running event loop."""
        self._loop.start()

    async def stop(self) -> None:
        """Stop reading."""
        await self._loop.stop()

    def ask(self, place: Place, answer: Answer) -> None:
        """Have `answer` called with what is behind a place by then; on the event loop, and never from within this."""
        self._asked.setdefault(place, []).append(answer)
        self._loop.nudge()

    async def _turn(self) -> None:
        if not self._asked:
            return
        await asyncio.sleep(self._read_at + self._spacing_seconds - time.monotonic())
        self._read_at = time.monotonic()
        # Whoever asks from here on gets what is read from here on.
        asked = {place: self._asked.pop(place) for place in list(islice(self._asked, MOST_PLACES))}
        try:
            for place, page in (await self._log.read(list(asked))).items():
                entries = [Entry(event) for event in page.events]
                for answer in asked.pop(place):
                    answer(entries, page.whole)
        finally:  # what had no answer, for an outage too, goes before what was asked for meanwhile
            for place, answers in self._asked.items():
                asked.setdefault(place, []).extend(answers)
            self._asked = asked
            if asked:
                self._loop.nudge()
