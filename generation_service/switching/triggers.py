"""The triggers of an automatic rollback: one process of many looks, and what has fired once does not fire again."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection

from generation_service.database import Database, db_now
from generation_service.database.tables import service_state
from generation_service.database.upsert import upsert
from generation_service.errors import Refused
from generation_service.jobs import leadership
from generation_service.jobs.model import Json
from generation_service.jobs.routing import Mode, Rollout, current_mode, rollout_of
from generation_service.jobs.signs import ModeSign, Signs
from generation_service.settings import Settings
from generation_service.switching.asked import CRITERIA, Rollback, Rollforward
from generation_service.switching.conditions import (
    FIRED_STATE,
    Condition,
    Reading,
    Surroundings,
    conditions,
    in_words,
    read_facts,
)
from generation_service.switching.observations import RedisWatch
from generation_service.switching.parts import Counting
from generation_service.switching.processes import alive
from generation_service.switching.switchover import Switchover

_log = logging.getLogger(__name__)

_LEASE = "triggers"
_LEASE_SECONDS = 5.0
_GAP_SECONDS = 6.0  # three pauses between looks: so long without one, and nobody knows what held meanwhile
_LEDGER_SECONDS = 60.0  # so old a count of the ledger may be


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """What one look has found: each condition's reading, at `now`, while `mode` is in force."""

    mode: Mode
    now: datetime
    readings: Mapping[str, Reading]
    fired: Mapping[str, Any]  # by trigger: at, switch_id


class Triggers:
    """Watches the conditions in one process at a time, and rolls back when one holds.

    Each process calls `watch` and `turn` again and again. `memory_percent` says how full this host is.
    """

    def __init__(
        self,
        *,
        process: str,
        settings: Settings,
        database: Database,
        switchover: Switchover,
        ledger: Counting,
        redis: RedisWatch,
        memory_percent: Callable[[], float],
        signs: Signs | None = None,
    ) -> None:
        self._process = process
        self._settings = settings
        self._database = database
        self._switchover = switchover
        self._ledger = ledger
        self._redis = redis
        signs = signs or Signs(database)
        self._mode = ModeSign(database, signs)
        self._led = signs.add(leadership.anothers(_LEASE, process))
        self._memory_percent = memory_percent
        self._conditions = conditions(settings)
        self._over_since: dict[str, float] = {}  # monotonic: since when each condition holds, as this process saw it
        self._last_look = (0.0, 0)  # monotonic, and the epoch then in force
        self._said: set[str] = set()  # what has been said of a condition that still holds
        self._ledger_faults = 0
        self._calm_since: float | None = None
        self._renew_at = 0.0  # monotonic: until then the lease is this process's without asking

    async def watch(self) -> None:
        """See whether Redis can be reached, where that matters. Raises DatabaseUnavailable."""
        mode = await self._mode.look()
        if self._settings.rollback_triggers != "off" and mode is not None and self._matters(mode):
            await self._redis.look()

    async def turn(self) -> None:
        """Look once, if no other process does; act on what is found. Raises DatabaseUnavailable."""
        mode = await self._mode.look()
        off = self._settings.rollback_triggers == "off"
        if off or mode is None or not self._matters(mode) or not await self._leads():
            self._over_since.clear()
            self._calm_since = None
            return
        looked = await self._look()
        if looked is None:
            return
        self._forget_what_held_before(looked.mode.epoch)
        holding = [one for one in self._conditions if self._holds(one, looked.readings.get(one.name))]
        if looked.mode.target == "rq":
            await self._act(holding, looked)
        else:
            await self._consider_the_way_back(holding, looked)

    async def count(self) -> None:
        """Look into the ledger, if this process is the one that looks: apart from `turn`, for it may take a while."""
        mode = await self._mode.look()
        off = self._settings.rollback_triggers == "off"
        if not off and mode is not None and self._matters(mode) and await self._leads():
            await self._count()

    async def view(self) -> list[dict[str, Json]]:
        """Each trigger: what it measures now, its threshold, whether it is armed, when it fired last."""
        await self._count()
        looked = await self._look()
        return [self._shown(one, looked) for one in self._conditions]

    def _matters(self, mode: Mode) -> bool:
        """While jobs go to RQ; and after an automatic rollback that is to be undone by itself."""
        return mode.target == "rq" or (self._settings.rollforward_automatic and mode.source == "trigger")

    async def _leads(self) -> bool:
        if time.monotonic() < self._renew_at:
            return True
        if await self._led.look():
            return False
        began = time.monotonic()
        take = partial(leadership.take_or_keep, name=_LEASE, holder=self._process, seconds=_LEASE_SECONDS)
        leads = await self._database.keep_up(take, of=f"lease {_LEASE}")
        self._renew_at = began + _LEASE_SECONDS / 2 if leads else 0.0
        return leads

    async def _count(self) -> None:
        counted = (await self._ledger.recent(_LEDGER_SECONDS)).as_json()
        self._ledger_faults = sum(int(counted[name]) for name in ("lost", "duplicated", "unexplained"))

    async def _look(self) -> _Looked | None:
        memory = await asyncio.to_thread(self._memory_percent)  # short of memory, the kernel takes its time
        return await self._database.read(partial(self._measure, memory_percent=memory))

    def _measure(self, connection: Connection, memory_percent: float) -> _Looked | None:
        mode = current_mode(connection)
        if mode is None:
            return None
        facts = read_facts(connection)
        around = Surroundings(
            settings=self._settings,
            mode=mode,
            facts=facts,
            alive=alive(connection),
            memory_percent=memory_percent,
            ledger_faults=self._ledger_faults,
        )
        return _Looked(
            mode=mode,
            now=facts.now,
            readings={one.name: one.measure(connection, around) for one in self._conditions if not one.off},
            fired=facts.fired or {},
        )

    def _forget_what_held_before(self, epoch: int) -> None:
        """What held under another mode, or before a gap between looks, has not held ever since."""
        looked_at, before = self._last_look
        self._last_look = (time.monotonic(), epoch)
        if epoch != before or time.monotonic() - looked_at > _GAP_SECONDS:
            self._over_since.clear()
            self._calm_since = None

    def _holds(self, condition: Condition, reading: Reading | None) -> bool:
        """Whether it has been over its threshold for as long as it must be."""
        if reading is None or reading.value <= condition.threshold:
            self._over_since.pop(condition.name, None)
            self._said.discard(condition.name)
            return False
        since = self._over_since.setdefault(condition.name, time.monotonic())
        return time.monotonic() - since >= condition.holds_seconds

    async def _act(self, holding: Sequence[Condition], looked: _Looked) -> None:
        for condition in holding:
            words = in_words(condition, looked.readings[condition.name])
            if condition.advice or self._is_dry(condition):
                self._say_once(condition, words)
            elif not self._cools(looked):
                await self._fire(condition, looked, words)
                return

    async def _fire(self, condition: Condition, looked: _Looked, words: str) -> None:
        reading = looked.readings[condition.name]
        evidence = {
            "trigger": condition.name,
            "value": reading.value,
            "threshold": condition.threshold,
            "unit": condition.unit,
            "at": looked.now.isoformat(),
            **reading.evidence,
        }
        _log.error("Automatic rollback: %s", words, extra={"action": "trigger_fired", "trigger": condition.name})
        wanted = Rollback(
            reason=words,
            said_by=f"trigger:{condition.name}",
            source="trigger",
            after=looked.mode.epoch,
            evidence=evidence,
        )
        try:
            await self._switchover.rollback(wanted, within=partial(_remember, name=condition.name))
        except Refused as refused:  # somebody was faster: an operator, or another process
            _log.info("Trigger %s: %s", condition.name, refused.code, extra={"action": "trigger_overtaken"})
        self._over_since.clear()

    def _say_once(self, condition: Condition, words: str) -> None:
        if condition.name not in self._said:
            self._said.add(condition.name)
            action = "trigger_advises" if condition.advice else "trigger_dry_run"
            _log.warning("%s: %s", action, words, extra={"action": action, "trigger": condition.name})

    def _is_dry(self, condition: Condition) -> bool:
        return self._settings.rollback_triggers == "dry_run" or condition.name in self._settings.rollback_dry_run

    def _cools(self, looked: _Looked) -> bool:
        """Whether one has fired so lately that none may fire now."""
        since = looked.now - timedelta(seconds=self._settings.rollback_cooldown_seconds)
        return any(datetime.fromisoformat(one["at"]) > since for one in looked.fired.values())

    async def _consider_the_way_back(self, holding: Sequence[Condition], looked: _Looked) -> None:
        """Go back to RQ once nothing has been wrong for long enough; a try that fails waits as long again."""
        if any(not one.advice for one in holding) or any(one in self._over_since for one in self._acting):
            self._calm_since = None
            return
        self._calm_since = self._calm_since or time.monotonic()
        if time.monotonic() - self._calm_since < self._settings.rollforward_stable_seconds:
            return
        self._calm_since = None
        said = f"no trigger was over its threshold for {self._settings.rollforward_stable_seconds:g} seconds"
        wanted = Rollforward(
            reason=f"automatic roll-forward: {said}",
            said_by="trigger:automatic",
            source="trigger",
            rollout=self._rollout,
            criteria=dict.fromkeys(CRITERIA, f"ROLLFORWARD_AUTOMATIC; {said}"),
            after=looked.mode.epoch,
        )
        try:
            await self._switchover.rollforward(wanted)
        except Refused as refused:
            _log.info("Automatic roll-forward: %s", refused.code, extra={"action": "trigger_overtaken"})

    @property
    def _acting(self) -> list[str]:
        return [one.name for one in self._conditions if not one.advice]

    @property
    def _rollout(self) -> Rollout:
        settings = self._settings
        return rollout_of(settings.durable_worker_rollout_percent, settings.durable_worker_projects)

    def _shown(self, condition: Condition, looked: _Looked | None) -> dict[str, Json]:
        reading = looked.readings.get(condition.name) if looked else None
        fired = (looked.fired if looked else {}).get(condition.name, {})
        off = condition.off or self._settings.rollback_triggers == "off"
        cools = looked is not None and self._cools(looked)
        on_rq = looked is not None and looked.mode.target == "rq"
        return {
            "name": condition.name,
            "value": reading.value if reading else None,
            "threshold": condition.threshold,
            "unit": condition.unit,
            "over": reading is not None and reading.value > condition.threshold,
            "evidence": dict(reading.evidence) if reading else {},
            "armed": on_rq and not (off or condition.advice or cools or self._is_dry(condition)),
            "off": off,
            "advice_only": condition.advice,
            "dry_run": self._is_dry(condition),
            "hold_seconds": condition.holds_seconds,
            "cooldown_seconds": self._settings.rollback_cooldown_seconds,
            "cooling_down": cools,
            "last_fired": fired.get("at"),
            "last_rollback": fired.get("switch_id"),
        }


def _remember(connection: Connection, switch_id: str, *, name: str) -> None:
    """Write down a firing, in the transaction that begins the rollback."""
    facts = read_facts(connection)
    fired = {**(facts.fired or {}), name: {"at": facts.now.isoformat(), "switch_id": switch_id}}
    row = {"value": fired, "updated_at": db_now()}
    statement = upsert(connection, service_state).values(name=FIRED_STATE, **row)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))
