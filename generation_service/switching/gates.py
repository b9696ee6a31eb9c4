"""The gates of a roll-forward: what must hold before jobs go to RQ again."""

import asyncio
import time
from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.jobs.claims import PAUSED
from generation_service.switching.asked import CRITERIA
from generation_service.switching.canary import Canary
from generation_service.switching.parts import Counting, Gate
from generation_service.switching.processes import alive
from generation_service.switching.state import read_state

_LOOK_SECONDS = 0.2
_LEDGER_SECONDS = 5.0  # a look may meet what moves; what is wrong stays wrong


class Gates:
    """Tries RQ out, from what people say to a job that goes the whole way.

    `probe` writes to RQ's Redis and takes it back; blocking; ConnectionError: it cannot be written to.
    """

    def __init__(
        self,
        *,
        database: Database,
        probe: Callable[[], None],
        canary: Canary,
        ledger: Counting,
        patience_seconds: float,
    ) -> None:
        self._database = database
        self._probe = probe
        self._canary = canary
        self._ledger = ledger
        self._patience_seconds = patience_seconds

    async def check(self, criteria: Mapping[str, str | None]) -> list[Gate]:
        """All gates, in order; what cannot pass any more is not waited for."""
        gates = [_criterion(name, criteria.get(name)) for name in CRITERIA]
        redis = await self._redis()
        workers = await self._workers() if redis.passed else Gate(name="workers", passed=False, seen={"alive": 0})
        canary = await self._send_canary() if workers.passed else Gate(name=_CANARY, passed=False)
        return [*gates, redis, workers, canary, await self._count()]

    async def _redis(self) -> Gate:
        try:
            await asyncio.to_thread(self._probe)
        except ConnectionError as error:
            return Gate(name="redis", passed=False, seen={"error": str(error)})
        return Gate(name="redis", passed=True)

    async def _workers(self) -> Gate:
        """Workers leave standby by themselves once the RQ part is on; they are given time for it."""
        until = time.monotonic() + self._patience_seconds
        serving = await self._database.read(_serving_workers)
        while not serving and time.monotonic() < until:
            await asyncio.sleep(_LOOK_SECONDS)
            serving = await self._database.read(_serving_workers)
        return Gate(name="workers", passed=serving > 0, seen={"alive": serving})

    async def _send_canary(self) -> Gate:
        if await self._database.read(lambda connection: read_state(connection).paused) is not None:
            return Gate(name=_CANARY, passed=False, seen={"state": PAUSED})  # nothing starts while somebody has paused
        trial = await self._canary.send()
        seen = {"job_id": trial.job_id, "status": trial.status, "seconds": trial.seconds}
        return Gate(name=_CANARY, passed=trial.passed, seen=seen)

    async def _count(self) -> Gate:
        until = time.monotonic() + _LEDGER_SECONDS
        found = await self._ledger.check()
        while not found.clean and time.monotonic() < until:
            await asyncio.sleep(_LOOK_SECONDS)
            found = await self._ledger.check()
        told = found.as_json()
        return Gate(
            name="ledger",
            passed=found.clean,
            seen={name: told.get(name) for name in ("lost", "duplicated", "unexplained")},
        )


_CANARY = "canary"


def _criterion(name: str, said: str | None) -> Gate:
    return Gate(name=name, passed=bool(said and said.strip()), seen={"said": said})


def _serving_workers(connection: Connection) -> int:
    return sum(one.state == "serving" for one in alive(connection, "worker"))
