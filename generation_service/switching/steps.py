"""The steps of a switchover: what each does, twice as well as once, and which comes after which."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, func, select

from generation_service.database.tables import jobs
from generation_service.errors import Refused
from generation_service.jobs import rerouting
from generation_service.jobs.model import BACKENDS, Backend, JobId, Json
from generation_service.jobs.routing import PINNED_KINDS, Mode, current_mode
from generation_service.switching import outcome
from generation_service.switching.asked import Wish
from generation_service.switching.mode import Flag, Word, flag_in_force, say
from generation_service.switching.outcome import Finding
from generation_service.switching.parts import Counted, Parts
from generation_service.switching.processes import alive
from generation_service.switching.switches import Switch

SETTLE_SECONDS = 10.0
"""How long the verification waits for the last rows that somebody writes to just now, and for a clean ledger."""

_LOOK_SECONDS = 0.2
_MOST_NAMED = 500  # jobs that are left: more are not counted one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a step leaves. `within` runs in the transaction that records the step, and returns more of the result.

    It may add to the changes that the same transaction makes: columns of the switch, more of its `report`,
    and an entry for the `audit`.
    """

    result: Mapping[str, Json] = field(default_factory=dict)
    within: Callable[[Connection, dict[str, Any]], Mapping[str, Json]] | None = None


Body = Callable[[Switch], Awaitable[Done]]


def next_step(switch: Switch) -> str | None:
    """The first step that is not done; None: all are."""
    return next((name for name in plan(switch) if switch.step(name) is None), None)


def plan(switch: Switch) -> tuple[str, ...]:
    """The names of the steps, in order, as far as they can be told."""
    if switch.kind == "rollback":
        return ("flag", "migrate", "sync", "verify", "report")
    gates = switch.step("gates")
    if gates is not None and not gates["result"].get("passed"):
        return ("wake", "gates", "undo", "report")
    carried = ("migrate",) if Wish.of(switch.report["asked"]).carry == "waiting" else ()
    return ("wake", "gates", "flag", *carried, "verify", "report")


class Steps:
    """The bodies of the steps by name; those that only write a row are in `switchover`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.bodies: Mapping[str, Body] = {
            "migrate": self._migrate,
            "sync": self._sync,
            "verify": self._verify,
            "gates": self._gates,
            "flag": self._flag,
            "undo": self._undo,
            "report": self._report,
        }

    async def _migrate(self, switch: Switch) -> Done:
        source, target = _ways(switch)
        wish = Wish.of(switch.report["asked"])
        running = wish.include_running and switch.kind == "rollback"
        moved = await self._parts.migration.run(
            source, target, include_running=running, dry_run=False, by=switch.said_by, epoch=switch.epoch
        )
        return Done(result=dict(moved.as_json()))

    async def _sync(self, switch: Switch) -> Done:  # noqa: ARG002 - the shape of a step
        return Done(result=dict((await self._parts.sync.run(dry_run=False)).as_json()))

    async def _gates(self, switch: Switch) -> Done:
        wish = Wish.of(switch.report["asked"])
        checked = await self._parts.gates.check(wish.criteria)
        failed = [gate.name for gate in checked if not gate.passed]
        return Done(
            result={
                "passed": not failed or wish.force,
                "forced": bool(failed) and wish.force,
                "gates": [gate.as_json() for gate in checked],
            }
        )

    async def _flag(self, switch: Switch) -> Done:
        flag = Flag(
            use_durable_worker=True,
            worker_system_enabled=True,
            rollout=Wish.of(switch.report["asked"]).rollout,
        )
        return Done(within=partial(_say_again, switch=switch, flag=flag, word=partial(Word, reason=switch.reason)))

    async def _undo(self, switch: Switch) -> Done:
        before = switch.report["before"]
        reason = f"{switch.reason} (its gates failed; as before: {before['reason']})"
        word = partial(Word, carry=before["carry"], reason=reason)
        return Done(within=partial(_say_again, switch=switch, flag=flag_of(before["flag"]), word=word))

    async def _verify(self, switch: Switch) -> Done:
        """Look, and help along what is left, until all is well or the time is over."""
        until = time.monotonic() + SETTLE_SECONDS
        while True:
            findings = await self._look(switch)
            if not any(finding.passes and finding.blocks for finding in findings) or time.monotonic() > until:
                return Done(result={"findings": [finding.as_json() for finding in findings]})
            if any(finding.code == "jobs_left" for finding in findings):
                await self._migrate_what_is_left(switch)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self, switch: Switch) -> list[Finding]:
        findings = await self._parts.database.read(partial(_look_into_database, switch=switch))
        ledger: Counted = await self._parts.ledger.check()
        if not ledger.clean:
            counts = {name: ledger.as_json().get(name) for name in ("lost", "duplicated", "unexplained")}
            findings.append(Finding("ledger_not_clean", counts))
        return findings

    async def _migrate_what_is_left(self, switch: Switch) -> None:
        try:
            await self._migrate(switch)
        except Refused:  # somebody else moves just now, or has said another mode: the next look tells
            return

    async def _report(self, switch: Switch) -> Done:
        found = await self._parts.database.read(partial(outcome.of, switch=switch))
        return Done(within=partial(outcome.conclude, switch=switch, found=found))


def flag_as_json(flag: Flag) -> dict[str, Json]:
    """A flag as a report keeps it."""
    return flag.as_columns()


def flag_of(kept: Mapping[str, Any]) -> Flag:
    """The flag that `flag_as_json` kept."""
    rollout = replace(Wish().rollout, percent=kept["rollout_percent"], projects=tuple(kept["rollout_projects"]))
    return Flag(kept["use_durable_worker"], kept["worker_system_enabled"], rollout)


def _say_again(
    connection: Connection, changes: dict[str, Any], *, switch: Switch, flag: Flag, word: Callable[..., Word]
) -> Mapping[str, Json]:
    """Say the next mode of a switch, if its own mode is still in force: a faster word must not be undone."""
    mode = current_mode(connection)
    if mode is None:
        raise AssertionError("a switch begins with a mode")
    said = None
    if mode.epoch == switch.epoch and flag != flag_in_force(mode):
        said = say(connection, word(flag=flag, said_by=switch.said_by, source=switch.source), after=mode.epoch)
    if said is not None:
        changes["epoch"] = said.epoch
    now = said or mode
    return {"said": said is not None, "epoch": now.epoch, "type": now.target}


def _look_into_database(connection: Connection, *, switch: Switch) -> list[Finding]:
    mode = current_mode(connection)
    if mode is None or mode.epoch != switch.epoch:
        return [Finding("mode_overridden", {"epoch": mode.epoch if mode else 0})]
    findings = []
    left = _left(connection, switch, mode)
    if any(left.values()):
        findings.append(Finding("jobs_left", left))
    role = "api" if mode.target == "background_tasks" else "worker"
    if not any(one.state == "serving" for one in alive(connection, role)):
        live = _live_at(connection, mode.target)
        findings.append(Finding(f"no_{role}_process", {"jobs": live}, blocks=bool(live)))
    return findings


def _left(connection: Connection, switch: Switch, mode: Mode) -> dict[str, Json]:
    """How many jobs are not yet where the switch was to bring them."""
    wish = Wish.of(switch.report["asked"])
    if switch.kind == "rollforward" and wish.carry == "nothing":
        return {}
    statuses: list[rerouting.Movable] = ["pending"]
    if switch.kind == "rollback" and wish.include_running:
        statuses.append("running")
    source, _ = _ways(switch)
    find = partial(rerouting.find_misplaced, connection, mode, after=JobId(""), limit=_MOST_NAMED, sources=(source,))
    names = {"pending": "waiting", "running": "running"}
    return {names[status]: len(find(status=status)) for status in statuses}


def _live_at(connection: Connection, backend: Backend) -> int:
    live = [jobs.c.status.in_(["pending", "running"]), jobs.c.backend == backend, jobs.c.kind.not_in(PINNED_KINDS)]
    return int(connection.execute(select(func.count()).select_from(jobs).where(*live)).scalar_one())


def _ways(switch: Switch) -> tuple[Backend, Backend]:
    rq, in_process = BACKENDS
    return (rq, in_process) if switch.kind == "rollback" else (in_process, rq)
