"""A service's jobs, with the parts of a switch around them and a real RQ, in this process."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis import Redis
from sqlalchemy import Connection, select, update

from generation_service.database import Database, db_now
from generation_service.database.tables import dead_letters, jobs
from generation_service.jobs.model import Backend, Claim, Job
from generation_service.jobs.moving import Mover
from generation_service.jobs.routing import Carry, Mode, Rollout, current_mode
from generation_service.switching.ledger import Ledger
from generation_service.switching.migration import Migration
from generation_service.switching.mode import Flag, Word, say
from generation_service.switching.sync import StatusSync
from scripts.embedded.waiting import wait_until
from tests.support.toy import Core, ToyKind, nothing
from workers.names import QUEUE_OF, rq_id
from workers.rq_adapter import RqBackend
from workers.rq_view import RedisView

_TIMEOUT_SECONDS = 1.0


@dataclass
class Switched:
    """Jobs of both backends, and who moves, compares and counts them."""

    core: Core
    rq: RqBackend
    view: RedisView
    redis: Any
    migration: Migration
    sync: StatusSync
    ledger: Ledger

    async def say(
        self, backend: Backend, carry: Carry = "nothing", *, enabled: bool = True, percent: int = 100
    ) -> Mode:
        """Change the mode."""
        flag = Flag(backend == "rq", enabled, Rollout(percent))
        word = Word(flag=flag, carry=carry, reason="a test", said_by="ana", source="operator")

        def unit(connection: Connection) -> Mode | None:
            mode = current_mode(connection)
            return say(connection, word, after=mode.epoch if mode else 0)

        mode = await self.core.database.write(unit)
        assert mode is not None
        return mode

    async def mode(self) -> Mode:
        mode = await self.core.database.read(current_mode)
        assert mode is not None
        return mode

    async def waiting(self, count: int, backend: Backend = "rq", **changes: Any) -> list[Job]:
        """Jobs that wait at `backend`; those of RQ are in its queues."""
        submitted = [await self.core.submit(backend=backend, **changes) for _ in range(count)]
        self.deliver([job for job in submitted if backend == "rq"])
        return submitted

    def deliver(self, submitted: Sequence[Job]) -> None:
        """Deliver to RQ, and return when it is in Redis."""
        traces = [f"rq:job:{rq_id(job)}" for job in submitted]
        self.rq.deliver(submitted)
        assert wait_until(lambda: not traces or self.redis.exists(*traces) == len(traces), 20), "not delivered"

    async def scheduled(self, count: int, backend: Backend = "rq") -> list[Job]:
        """Jobs that are to run again later."""
        submitted = [await self.core.submit(backend=backend) for _ in range(count)]
        for job in submitted:
            await self.change(job, due_at=db_now(3600), delivered_at=None)
        return [await self.job(one) for one in submitted]

    async def running(self, count: int, backend: Backend = "rq") -> list[Claim]:
        """Jobs that run at `backend`, as far as the database knows."""
        submitted = [await self.core.submit(backend=backend) for _ in range(count)]
        claimed = [await self.core.executor.claim_waiting(backend, 1) for _ in submitted]
        return [claim for one in claimed for claim in one]

    async def change(self, job: Job, **columns: Any) -> None:
        """Change a row behind everybody's back."""
        await self.core.database.write(
            lambda connection: connection.execute(update(jobs).where(jobs.c.id == job.id).values(**columns))
        )

    async def job(self, job: Job | Claim) -> Job:
        return await self.core.jobs.get(job.id)

    async def backends(self, some: Sequence[Job | Claim]) -> list[str]:
        return [(await self.job(one)).backend for one in some]

    async def letters(self) -> list[tuple[str, str, bytes | None]]:
        """What needs a person: where it lay, why, and its payload."""
        columns = (dead_letters.c.origin, dead_letters.c.reason, dead_letters.c.raw)
        rows = await self.core.database.read(lambda connection: connection.execute(select(*columns)).all())
        return sorted((row.origin, row.reason, row.raw) for row in rows)

    def queued(self, queue: str = "rag_processing") -> list[bytes]:
        return list(self.redis.lrange(f"rq:queue:{queue}", 0, -1))

    def all_queued(self) -> int:
        return sum(len(self.queued(queue)) for queue in QUEUE_OF.values())


@asynccontextmanager
async def switched(database: Database, url: str, kind: ToyKind | None = None) -> AsyncIterator[Switched]:
    """The parts around one database and the Redis at `url`, which need not be there."""
    core = Core(database, kind or ToyKind({"one": nothing}))
    rq, view = RqBackend(url, timeout_seconds=_TIMEOUT_SECONDS), RedisView(url, timeout_seconds=_TIMEOUT_SECONDS)
    client: Any = Redis.from_url(url, socket_timeout=10)
    mover = Mover(database=database, backends={"rq": rq}, wakeups=core.wakeups)
    migration = Migration(process="here", database=database, mover=mover, view=view, wait_seconds=10.0)
    sync, ledger = StatusSync(database=database, view=view), Ledger(database=database, view=view)
    try:
        yield Switched(core, rq, view, client, migration, sync, ledger)
    finally:
        rq.close()
        view.close()
        client.close()
