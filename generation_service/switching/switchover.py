"""The switchover: one operation that changes the mode, moves the jobs, proves it, and leaves a report.

Its first transaction says the mode and writes the switch's row; every step after it is recorded there
by its holder. Whoever is killed in between leaves a row whose lease runs out, and `resume`, which every
long-lived process calls again and again, goes on at the first step that is not done.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection

from generation_service.database import db_now
from generation_service.errors import DatabaseUnavailable, Refused
from generation_service.jobs.model import BACKENDS, Json
from generation_service.jobs.queries import Page
from generation_service.switching import beginning, switches
from generation_service.switching.asked import Rollback, Rollforward
from generation_service.switching.audit import record
from generation_service.switching.beginning import SpokenOver, Within
from generation_service.switching.parts import Notify, Parts
from generation_service.switching.steps import Done, Steps, next_step
from generation_service.switching.switches import LEASE_SECONDS, Switch

_log = logging.getLogger(__name__)

_FOLLOW_SECONDS = 0.2
_MOST_TRIES = 10

NOTICE_SECONDS = 3.0
"""How long notices keep a process that has nothing else to do; below the patience of whoever ends it."""

OnStep = Callable[[Mapping[str, Any]], None]
"""Hears of each step as soon as it is recorded: {name, started_at, seconds, result}. Cheap; never raises."""


def ignore(step: Mapping[str, Any]) -> None:
    """Hear nothing."""


class Switchover:
    """Rolls back and forward. Safe in any number of processes: one switch at a time, one holder at a time."""

    def __init__(self, *, process: str, parts: Parts, notify: Notify) -> None:
        self._process = process
        self._parts = parts
        self._database = parts.database
        self._steps = Steps(parts)
        self._notify = notify
        self._running: set[asyncio.Task[Switch]] = set()
        self._ending = False
        self._notices: set[asyncio.Task[None]] = set()

    async def rollback(self, wanted: Rollback, on_step: OnStep = ignore, *, within: Within | None = None) -> Switch:
        """Carry out a rollback to its end; the switch with its report.

        `within` is run in the transaction that begins it, with the switch's id.

        Raises Refused: `reason_required` (422), `switch_under_way` (409), `mode_has_changed` (409: `after`
        is no longer in force), `switch_taken_over` (409). A roll-forward under way is ended by it.
        DatabaseUnavailable: what was begun goes on by itself, or with the next call.
        """
        begin = partial(beginning.rollback, wanted=wanted, within=within)
        return await self._finish(await self._begin(begin), on_step)

    async def rollforward(self, wanted: Rollforward, on_step: OnStep = ignore) -> Switch:
        """Carry out a roll-forward, if its gates let it pass; raises as `rollback` does."""
        return await self._finish(await self._begin(partial(beginning.rollforward, wanted=wanted)), on_step)

    async def preview(self, wanted: Rollback | Rollforward) -> Mapping[str, Json]:
        """What a switch would change and move; nothing is written. Raises Refused `reason_required` (422)."""
        seen = await self._database.read(partial(beginning.preview, wanted=wanted))
        if isinstance(wanted, Rollforward) and wanted.carry == "nothing":
            return {**seen, "migration": None}
        return {**seen, "migration": await self._preview_migration(wanted, seen["jobs"])}

    async def under_way(self) -> Switch | None:
        """The switch that has not ended; None: there is none."""
        return await self._database.read(switches.under_way)

    async def resume(self, on_step: OnStep = ignore) -> Switch | None:
        """Take over a switch whose holder has fallen silent, and finish it; None: there is none."""
        if await self.under_way() is None:
            return None
        switch = await self._database.write(partial(switches.take_over, holder=self._holder()))
        if switch is None:
            return None
        extra = {"action": "switch_resumed", "switch_id": switch.id}
        _log.warning("The %s %s goes on in this process", switch.kind, switch.id, extra=extra)
        return await self._finish(switch, on_step)

    async def follow(self, switch_id: str, on_step: OnStep = ignore) -> Switch:
        """Wait until a switch has ended, going on with it here where its holder has died. Raises Refused (404)."""
        told = 0
        while True:
            switch = await self.get(switch_id)
            for step in switch.steps[told:]:
                on_step(step)
            told = len(switch.steps)
            if switch.status != "running":
                return switch
            with contextlib.suppress(Refused):  # somebody was faster: it is followed there
                taken = await self.resume(on_step)
                if taken is not None and taken.id == switch_id:
                    return taken
            await asyncio.sleep(_FOLLOW_SECONDS)

    async def list(self, *, limit: int, cursor: str | None = None) -> Page[Switch]:
        """A page of switches, the newest first. Raises Refused `invalid_cursor` (422)."""
        return await self._database.read(partial(switches.page, limit=limit, cursor=cursor))

    async def get(self, switch_id: str) -> Switch:
        """The switch. Raises Refused `switch_not_found` (404)."""
        return await self._database.read(partial(switches.find, switch_id=switch_id))

    def interrupt(self) -> None:
        """Let go of what is under way in this process, which is about to end: another one goes on with it."""
        self._ending = True
        for task in self._running:
            task.cancel()

    async def close(self, seconds: float = NOTICE_SECONDS) -> None:
        """Wait for notices that are under way, for `seconds` at most: those that take longer are lost."""
        if self._notices:
            await asyncio.wait(self._notices, timeout=seconds)

    async def _preview_migration(
        self, wanted: Rollback | Rollforward, jobs: Mapping[str, Mapping[str, int]]
    ) -> Mapping[str, Json]:
        rollback = isinstance(wanted, Rollback)
        running = isinstance(wanted, Rollback) and wanted.include_running
        source, target = BACKENDS if rollback else BACKENDS[::-1]
        try:
            moved = await self._parts.migration.run(
                source, target, include_running=running, dry_run=True, by=wanted.said_by
            )
        except Refused as refused:
            if refused.code != "rq_switched_off":
                raise
            # Its workers stand by now; when it is carried out they have been woken before.
            there = dict(jobs[source]) if running else {**jobs[source], "running": 0}
            return {"migrated": sum(there.values()), **there, "dry_run": True}
        return dict(moved.as_json())

    def _holder(self) -> str:
        return f"{self._process}/{uuid4().hex[:12]}"  # of this run: a process may hold a switch, lose it, and come back

    async def _begin(self, begin: Callable[..., Switch]) -> Switch:
        """Begin; where somebody else says a mode in that very moment, look again."""
        for _ in range(_MOST_TRIES):
            try:
                return await self._database.write(partial(begin, holder=self._holder()))
            except SpokenOver:
                continue
        raise Refused("mode_has_changed", 409)

    async def _finish(self, switch: Switch, on_step: OnStep) -> Switch:
        """Take the steps that are left; the switch as it is then, which is under way still where it was interrupted."""
        task = asyncio.create_task(self._take_steps(switch, on_step), name=f"{switch.kind}-{switch.id}")
        self._running.add(task)
        if self._ending:
            self.interrupt()
        task.add_done_callback(self._running.discard)
        try:
            return await task
        except asyncio.CancelledError:
            if not self._ending:
                raise
            await self._let_go(switch)  # again: it may not even have begun
            return await self.get(switch.id)

    async def _take_steps(self, switch: Switch, on_step: OnStep) -> Switch:
        for step in switch.steps:
            on_step(step)
        async with self._held(switch):
            while name := next_step(switch):
                switch = await self._carry_out(switch, name)
                on_step(switch.steps[-1])
            if switch.status == "running":  # not even the report could be written; what is over must not be in the way
                ended = {"status": "failed", "completed_at": db_now(), "lease_until": None}
                switch = await self._database.write(lambda connection: switches.write(connection, switch, **ended))
        self._tell(switch)
        return switch

    async def _carry_out(self, switch: Switch, name: str) -> Switch:
        """Take one step and record it. One that fails is recorded as such, and the next one follows.

        But without a database nothing can be recorded: whoever reaches it again goes on here.
        """
        began, clock = datetime.now(UTC), time.monotonic()

        async def record_it(done: Done) -> Switch:
            taken = {"name": name, "started_at": began.isoformat(), "seconds": round(time.monotonic() - clock, 3)}
            return await self._database.write(partial(_append, switch=switch, step=taken, done=done))

        try:
            switch = await record_it(await self._do(switch, name))
        except (DatabaseUnavailable, Refused):
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: a step that fails must not keep the others from it
            _log.exception("Step %s of %s failed", name, switch.id, extra={"action": "switch_step_failed"})
            switch = await record_it(Done(result={"error": type(error).__name__}))
        extra = {"action": "switch_step", "switch_id": switch.id, "switch_step": name}
        _log.info("%s %s: %s took %.2f s", switch.kind, switch.id, name, switch.steps[-1]["seconds"], extra=extra)
        return switch

    async def _do(self, switch: Switch, name: str) -> Done:
        try:
            return await self._steps.bodies[name](switch)
        except Refused as refused:  # of a part: somebody else moves jobs, or the mode is another one by now
            return Done(result={"error": refused.code})

    @asynccontextmanager
    async def _held(self, switch: Switch) -> AsyncIterator[None]:
        """Keep the lease while the steps run; where they are cut short, let the next one go on at once."""
        renewing = asyncio.create_task(self._renew(switch), name=f"lease-of-{switch.id}")
        try:
            yield
        except BaseException:
            await self._let_go(switch)
            raise
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})

    async def _let_go(self, switch: Switch) -> None:
        with contextlib.suppress(DatabaseUnavailable):  # then the lease runs out
            await self._database.write(partial(switches.let_go, switch=switch))

    async def _renew(self, switch: Switch) -> None:
        held = True
        while held:
            await asyncio.sleep(LEASE_SECONDS / 3)
            with contextlib.suppress(DatabaseUnavailable):  # the next turn tries again
                held = await self._database.write(partial(switches.renew, switch=switch))

    def _tell(self, switch: Switch) -> None:
        task = asyncio.create_task(self._notify(switch), name=f"notice-of-{switch.id}")
        self._notices.add(task)
        task.add_done_callback(self._notices.discard)


def _append(connection: Connection, *, switch: Switch, step: Mapping[str, Json], done: Done) -> Switch:
    """Record a step, with what belongs into the same transaction; refused where the switch has another holder."""
    switches.write(connection, switch)  # first: what follows is done by its holder, or not at all
    changes: dict[str, Any] = {}
    more = done.within(connection, changes) if done.within else {}
    entry = changes.pop("audit", None)
    recorded = {**step, "result": {**done.result, **more}}
    report = {**switch.report, **changes.pop("report", {}), "steps": [*switch.steps, recorded]}
    written = switches.write(connection, switch, report=report, **changes)
    if entry is not None:
        record(connection, entry)
    return written
