"""An operator's word about the mode: what it would change, and saying it; the same for the API and the terminal."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from generation_service.errors import Refused
from generation_service.jobs.model import Json
from generation_service.jobs.queries import Page, number_before
from generation_service.jobs.routing import Carry, Mode, current_mode, modes
from generation_service.switching import switches
from generation_service.switching.mode import Flag, Word, flag_in_force, say
from generation_service.switching.state import count_live

_MOST_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeWish:
    """What an operator says; a part that is None stays as it is. Without `carry` a change takes nothing along."""

    use_durable_worker: bool | None = None
    worker_system_enabled: bool | None = None
    carry: Carry | None = None
    reason: str
    said_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a wish changed, or would change: the mode before and after, and the jobs that are live, by backend."""

    changed: bool
    before: Json
    after: Json
    jobs: Mapping[str, Mapping[str, int]]

    def as_json(self) -> dict[str, Json]:
        return {"changed": self.changed, "before": self.before, "after": self.after, "jobs": self.jobs}


def preview(connection: Connection, wish: ModeWish, environment: Flag) -> Effect:
    """What the wish would change; `environment` counts where nobody has said anything yet.

    Raises Refused: `reason_required`, `flag_required` (422), `switch_under_way` (409).
    """
    return _preview(connection, wish, environment, current_mode(connection))


def fulfil(connection: Connection, wish: ModeWish, environment: Flag) -> Effect:
    """Say the mode that the wish means, unless it is in force already.

    Raises Refused as `preview` does, and `mode_changed` (409) where others speak all the time.
    """
    for _ in range(_MOST_TRIES):
        # Once, and before the look for a switch: one that begins in between has said the mode that comes after this.
        before = current_mode(connection)
        effect = _preview(connection, wish, environment, before)
        if not effect.changed:
            return effect
        flag, carry = _meant(wish, before, environment)
        word = Word(flag=flag, carry=carry, reason=wish.reason.strip(), said_by=wish.said_by, source="operator")
        said = say(connection, word, after=before.epoch if before else 0)
        if said is not None:
            return Effect(changed=True, before=effect.before, after=mode_json(said), jobs=effect.jobs)
    raise Refused("mode_changed", 409)


def history(connection: Connection, *, limit: int, cursor: str | None = None) -> Page[Json]:
    """A page of modes as JSON, the one in force first. Raises Refused `invalid_cursor` (422)."""
    found = modes(connection, limit=limit + 1, before=number_before(cursor) if cursor is not None else None)
    next_cursor = str(found[limit - 1].epoch) if len(found) > limit else None
    return Page([mode_json(mode) for mode in found[:limit]], next_cursor)


def mode_json(mode: Mode) -> dict[str, Json]:
    """A mode as every answer shows it."""
    return {
        **_meaning(*_says(mode)),
        "epoch": mode.epoch,
        "since": mode.since.isoformat(),
        "said_by": mode.said_by,
        "reason": mode.reason,
        "source": mode.source,
    }


def _preview(connection: Connection, wish: ModeWish, environment: Flag, before: Mode | None) -> Effect:
    _check(connection, wish)
    flag, carry = _meant(wish, before, environment)
    was = mode_json(before) if before else None
    jobs = count_live(connection)
    if before is not None and _says(before) == (flag, carry):
        return Effect(changed=False, before=was, after=was, jobs=jobs)
    return Effect(changed=True, before=was, after=_meaning(flag, carry), jobs=jobs)


def _check(connection: Connection, wish: ModeWish) -> None:
    if not wish.reason.strip():
        raise Refused("reason_required", 422)
    if wish.use_durable_worker is None and wish.worker_system_enabled is None:
        raise Refused("flag_required", 422)
    switches.refuse_a_second(connection)


def _meant(wish: ModeWish, before: Mode | None, environment: Flag) -> tuple[Flag, Carry]:
    was = flag_in_force(before) if before else environment
    durable = was.use_durable_worker if wish.use_durable_worker is None else wish.use_durable_worker
    enabled = was.worker_system_enabled if wish.worker_system_enabled is None else wish.worker_system_enabled
    flag = Flag(durable, enabled, was.rollout)
    if wish.carry is not None:
        return flag, wish.carry
    # What was asked to be taken along stays asked for as long as the mode does.
    return flag, before.carry if before is not None and flag == was else "nothing"


def _says(mode: Mode) -> tuple[Flag, Carry]:
    return flag_in_force(mode), mode.carry


def _meaning(flag: Flag, carry: Carry) -> dict[str, Json]:
    return {
        "use_durable_worker": flag.use_durable_worker,
        "worker_system_enabled": flag.worker_system_enabled,
        "type": flag.backend if flag.worker_system_enabled else "background_tasks",
        "carry": carry,
        "rollout": {"percent": flag.rollout.percent, "projects": list(flag.rollout.projects)},
    }
