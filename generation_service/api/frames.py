"""Events as they are sent: encoded once for all readers who are told them the same way."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from sse_starlette import ServerSentEvent

from generation_service.jobs.model import ENDED, JobEvent, Json

Retell: TypeAlias = Callable[[Mapping[str, Json]], Mapping[str, Json]]
"""What an event says to a reader. Readers who are told the same share one function."""

_BYTES_A_MESSAGE = 65_536  # beyond it a reader that takes nothing would not be noticed


class Entry:
    """An event of a log, on its way to everyone who follows it."""

    __slots__ = ("_event", "_frames", "ends", "sequence")

    def __init__(self, event: JobEvent) -> None:
        self._event = event
        self._frames: dict[Retell, bytes] = {}
        self.sequence = event.sequence
        self.ends = event.type in ENDED

    def frame(self, retell: Retell) -> bytes:
        """Its bytes in a stream of server-sent events."""
        frame = self._frames.get(retell)
        if frame is None:
            told = {**retell(self._event.data), "sequence": self.sequence}
            data = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
            frame = ServerSentEvent(data, event=self._event.type, id=str(self.sequence)).encode()
            self._frames[retell] = frame
        return frame


def messages(batch: Sequence[Entry], retell: Retell) -> Iterator[bytes]:
    """The frames of a batch, as many as fit in one message."""
    if len(batch) == 1:  # as good as always
        yield batch[0].frame(retell)
        return
    gathered: list[bytes] = []
    size = 0
    for entry in batch:
        frame = entry.frame(retell)
        if size and size + len(frame) > _BYTES_A_MESSAGE:
            yield b"".join(gathered)
            gathered, size = [], 0
        gathered.append(frame)
        size += len(frame)
    yield b"".join(gathered)
