"""A switchover around the parts of `switched`, whose steps a test can make fail, wait or die."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, update

from generation_service.database import Database, db_now
from generation_service.database.operations import processes, switches
from generation_service.switching.asked import Rollback, Rollforward
from generation_service.switching.parts import Gate, Parts
from generation_service.switching.switches import Switch
from generation_service.switching.switchover import Switchover
from tests.support.switched import Switched, switched
from tests.support.toy import ToyKind

ROLLBACK = Rollback(reason="a test", said_by="ana")
ROLLFORWARD = Rollforward(reason="a test", said_by="ana")

Before = Callable[[], Awaitable[None]]


class Dead(BaseException):
    """The process is gone in the midst of a step."""


async def die() -> None:
    raise Dead


@dataclass
class Interfered:
    """A part of a switchover before whose work something happens, once."""

    part: Any
    before: Before | None = None

    async def run(self, *arguments: Any, **options: Any) -> Any:
        await self._interfere()
        return await self.part.run(*arguments, **options)

    async def check(self, *arguments: Any) -> Any:
        await self._interfere()
        return await self.part.check(*arguments)

    async def recent(self, seconds: float) -> Any:
        return await self.part.recent(seconds)

    async def _interfere(self) -> None:
        before, self.before = self.before, None
        if before is not None:
            await before()


@dataclass
class GivenGates:
    """Gates that pass unless a test says otherwise; they remember what they were told."""

    gates: Sequence[Gate] = (Gate(name="redis", passed=True),)
    told: list[Mapping[str, str | None]] = field(default_factory=list)

    async def check(self, criteria: Mapping[str, str | None]) -> Sequence[Gate]:
        self.told.append(criteria)
        return self.gates


@dataclass
class Switching:
    """One or more processes that can switch, over the same jobs."""

    jobs: Switched
    gates: GivenGates
    migration: Interfered
    sync: Interfered
    ledger: Interfered
    gating: Interfered
    switchover: Switchover
    notices: list[Switch]

    @property
    def database(self) -> Database:
        return self.jobs.core.database

    def another(self) -> Switchover:
        """The same in another process, where nothing interferes."""
        return self._built("elsewhere", self.jobs.migration, self.jobs.sync, self.jobs.ledger, self.gates)

    def build(self, name: str) -> Switchover:
        return self._built(name, self.migration, self.sync, self.ledger, self.gating)

    def _built(self, name: str, migration: Any, sync: Any, ledger: Any, gates: Any) -> Switchover:
        async def notice(switch: Switch) -> None:
            self.notices.append(switch)

        parts = Parts(database=self.database, migration=migration, sync=sync, ledger=ledger, gates=gates)
        return Switchover(process=name, parts=parts, notify=notice)

    async def abandoned(self, part: Interfered, wanted: Rollback | Rollforward) -> None:
        """Begin a switch whose process dies before `part` does its work, as long ago as its lease lasts."""
        part.before = die
        with suppress(Dead):
            if isinstance(wanted, Rollback):
                await self.switchover.rollback(wanted)
            else:
                await self.switchover.rollforward(wanted)
        await self.lapse()

    async def lapse(self) -> None:
        """Let the lease of the switch under way run out."""
        await self.database.write(
            lambda connection: connection.execute(
                update(switches).where(switches.c.status == "running").values(lease_until=db_now(-1))
            )
        )

    async def has(self, role: str, state: str = "serving", **columns: Any) -> None:
        """Let there be a process of `role`."""
        fresh = {"name": f"{role}-{state}", "role": role, "host": "here", "pid": 1, "state": state, "figures": {}}
        row = {**fresh, "started_at": db_now(), "seen_at": db_now(3600), **columns}
        await self.database.write(lambda connection: connection.execute(insert(processes).values(**row)))


@asynccontextmanager
async def switching(database: Database, redis_url: str, kind: ToyKind | None = None):
    """The parts around one database and the Redis at `redis_url`, with an API process that serves."""
    async with switched(database, redis_url, kind) as jobs:
        gates = GivenGates()
        built = Switching(
            jobs=jobs,
            gates=gates,
            migration=Interfered(jobs.migration),
            sync=Interfered(jobs.sync),
            ledger=Interfered(jobs.ledger),
            gating=Interfered(gates),
            switchover=None,  # type: ignore[arg-type]  # made in the next line
            notices=[],
        )
        built.switchover = built.build("here")
        await built.has("api")
        yield built
        await built.switchover.close()


def names(switch: Switch) -> list[str]:
    """The steps that are done, in order."""
    return [step["name"] for step in switch.steps]


def found(switch: Switch) -> list[str]:
    """The codes of what was found."""
    return [finding["code"] for finding in switch.report["outcome"]["findings"]]
