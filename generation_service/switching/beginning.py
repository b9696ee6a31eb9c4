"""How a switch begins: one transaction says the mode, writes the switch's row and its entry in the audit."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from generation_service.errors import Refused
from generation_service.jobs.model import Json
from generation_service.jobs.routing import Mode, current_mode
from generation_service.switching import audit, switches
from generation_service.switching.asked import Rollback, Rollforward, storable
from generation_service.switching.mode import Flag, Word, flag_in_force, say
from generation_service.switching.state import count_live
from generation_service.switching.steps import flag_as_json
from generation_service.switching.switches import NewSwitch, Switch, SwitchKind

_FIRST = {"rollback": "flag", "rollforward": "wake"}


class SpokenOver(Exception):
    """Somebody else has said a mode in this very moment."""


Within = Callable[[Connection, str], None]
"""A write that belongs to a beginning; it is told the switch's id."""


def rollback(connection: Connection, *, wanted: Rollback, holder: str, within: Within | None = None) -> Switch:
    """Say that jobs run in-process and begin to bring them there; a roll-forward under way ends with it.

    Raises Refused: `reason_required` (422), `switch_under_way`, `mode_has_changed` (409).
    """
    _check(wanted)
    running = switches.under_way(connection)
    if running is not None and running.kind == "rollforward":
        # Nobody may have to wait for gates in an emergency. Its holder's next write is refused, its next word too.
        switches.supersede(connection, running, by=wanted.said_by)
    return _begin(connection, "rollback", wanted, holder, within)


def rollforward(connection: Connection, *, wanted: Rollforward, holder: str) -> Switch:
    """Switch the RQ part on, so that workers come back, while jobs stay where they are; raises as `rollback`."""
    _check(wanted)
    return _begin(connection, "rollforward", wanted, holder)


def preview(connection: Connection, *, wanted: Rollback | Rollforward) -> Mapping[str, Json]:
    """The mode that there is, the one that there would be, and how many jobs are where."""
    _check(wanted)
    before = _flag(current_mode(connection))
    after = _last_flag(wanted, before)
    return {
        "dry_run": True,
        "before": flag_as_json(before),
        "after": flag_as_json(after),
        "changed": before != after,
        "jobs": count_live(connection),
    }


def _begin(
    connection: Connection,
    kind: SwitchKind,
    wanted: Rollback | Rollforward,
    holder: str,
    within: Within | None = None,
) -> Switch:
    began, clock, reason = datetime.now(UTC), time.monotonic(), storable(wanted.reason)
    switches.refuse_a_second(connection)
    mode = current_mode(connection)
    if wanted.after is not None and (mode is None or mode.epoch != wanted.after):
        raise Refused("mode_has_changed", 409)
    before, jobs = _flag(mode), count_live(connection)
    said = _say(connection, wanted, mode, _first_flag(wanted, before))
    step = {
        "name": _FIRST[kind],
        "started_at": began.isoformat(),
        "seconds": round(time.monotonic() - clock, 3),
        "result": {"epoch": said.epoch, "said": mode is None or said.epoch != mode.epoch, "type": said.target},
    }
    report: dict[str, Any] = {
        "asked": wanted.as_json(),
        "evidence": dict(wanted.evidence) if isinstance(wanted, Rollback) else {},
        "before": {**_told(mode), "flag": flag_as_json(before), "jobs": jobs},
        "steps": [step],
    }
    words = {"source": wanted.source, "said_by": wanted.said_by, "reason": reason}
    switch = switches.begin(connection, NewSwitch(kind=kind, epoch=said.epoch, holder=holder, report=report, **words))
    if within is not None:
        within(connection, switch.id)
    request = {"switch_id": switch.id, **wanted.as_json()}
    entry = audit.Entry(actor=wanted.said_by, action=kind, reason=reason, request=request, outcome="begun")
    audit.record(connection, entry)
    return switch


def _say(connection: Connection, wanted: Rollback | Rollforward, mode: Mode | None, flag: Flag) -> Mode:
    """Say the mode, where it is not in force already. Raises SpokenOver: somebody was faster."""
    if mode is not None and flag == flag_in_force(mode):
        return mode
    word = Word(flag=flag, reason=storable(wanted.reason), said_by=wanted.said_by, source=wanted.source)
    said = say(connection, word, after=mode.epoch if mode else 0)
    if said is None:
        raise SpokenOver
    return said


def _first_flag(wanted: Rollback | Rollforward, before: Flag) -> Flag:
    if isinstance(wanted, Rollback):
        return Flag(False, before.worker_system_enabled and wanted.keep_workers, before.rollout)  # noqa: FBT003 - the flag, in its words' order
    return Flag(before.use_durable_worker and before.worker_system_enabled, True, before.rollout)  # noqa: FBT003 - as above


def _last_flag(wanted: Rollback | Rollforward, before: Flag) -> Flag:
    if isinstance(wanted, Rollback):
        return _first_flag(wanted, before)
    return Flag(use_durable_worker=True, worker_system_enabled=True, rollout=wanted.rollout)


def _told(mode: Mode | None) -> dict[str, Json]:
    """What a report keeps of the mode before, besides its flag."""
    if mode is None:
        return {"epoch": 0, "type": "background_tasks", "carry": "nothing", "reason": "-"}
    return {"epoch": mode.epoch, "type": mode.target, "carry": mode.carry, "reason": mode.reason}


def _flag(mode: Mode | None) -> Flag:
    return flag_in_force(mode) if mode else Flag(use_durable_worker=False, worker_system_enabled=True)


def _check(wanted: Rollback | Rollforward) -> None:
    if not wanted.reason.strip():
        raise Refused("reason_required", 422)
