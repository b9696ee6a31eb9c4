"""Moving: jobs change their backend batch by batch, for recovery that fulfils the mode's wish and for a migration."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.jobs import rerouting
from generation_service.jobs.model import BACKENDS, Backend, JobId
from generation_service.jobs.ports import DeliveryBackend, Wakeups
from generation_service.jobs.rerouting import Movable, Placed
from generation_service.jobs.routing import Mode, current_mode

MIGRATION_LEASE = "migration"
"""Who moves jobs holds it, so that what moved is counted once; two that move at once would harm nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one transaction saw and what it moved, as it is now; the last delivery had the number before."""

    seen: Sequence[Placed]
    moved: Sequence[Placed]


_Move = Callable[[Connection, Sequence[Placed], Backend], list[Placed]]
_MOVES: Mapping[Movable, _Move] = {"pending": rerouting.move_waiting, "running": rerouting.take_over}


class Mover:
    """Moves what a wish wants elsewhere and delivers it there; safe in any number of processes at once."""

    def __init__(self, *, database: Database, backends: Mapping[Backend, DeliveryBackend], wakeups: Wakeups) -> None:
        self._database = database
        self._backends = backends
        self._wakeups = wakeups

    async def batches(
        self, wish: Mode, status: Movable, *, sources: Sequence[Backend] = BACKENDS
    ) -> AsyncIterator[Batch]:
        """Go once over the jobs in `status` at one of `sources` that `wish` wants elsewhere.

        Each batch is a transaction of its own, which moves nothing once another mode than the wish's is in force.
        Whoever stops in between leaves nothing half done. Raises DatabaseUnavailable.
        """
        after = JobId("")
        while seen := await self._database.read(
            partial(rerouting.find_misplaced, mode=wish, status=status, after=after, sources=sources)
        ):
            moved = await self._database.write(partial(_move_batch, wish=wish, seen=seen, move=_MOVES[status]))
            self._tell(moved)
            yield Batch(seen=seen, moved=moved)
            after = seen[-1].id

    def _tell(self, moved: Sequence[Placed]) -> None:
        for name, backend in self._backends.items():
            backend.deliver([job for job in moved if job.backend == name and job.delivered_at is not None])
        self._wakeups.wake([job.id for job in moved])


def _move_batch(connection: Connection, wish: Mode, seen: Sequence[Placed], move: _Move) -> list[Placed]:
    """Move what was seen, if the mode is still in force: a switch back must not be undone by one that was slower."""
    current = current_mode(connection)
    if (current.epoch if current else 0) != wish.epoch:
        return []
    moved: list[Placed] = []
    for target in BACKENDS:
        moved += move(connection, [job for job in seen if wish.target_for(job.project_id) == target], target)
    return moved
