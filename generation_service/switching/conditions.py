"""The conditions of an automatic rollback: what each measures, and the threshold beyond which it holds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CompoundSelect, Connection, Select, Subquery, bindparam, select, tuple_, union_all

from generation_service.database import db_now
from generation_service.database.operations import processes
from generation_service.database.tables import events, jobs, service_state
from generation_service.jobs import claims
from generation_service.jobs.model import PRIORITIES, Json
from generation_service.jobs.routing import PINNED_KINDS, Mode
from generation_service.settings import Settings
from generation_service.switching import user_reports
from generation_service.switching.figures import ALIVE_SECONDS, ANSWERING, mean_answer_seconds, performance_ratio
from generation_service.switching.observations import SEEN, redis_seen_in
from generation_service.switching.processes import ProcessView
from generation_service.switching.state import RESUMED_AT

FIRED_STATE = "triggers"
"""The name of the row of when each trigger fired last."""

_OLDEST_LOOKED_AT = 200  # waiting jobs of each priority, by acceptance: who has waited longest is among them
_CRASHED_FOR_SECONDS = 2 * ALIVE_SECONDS  # who was only held up has written its row again before that
_SERVING_ROLES = ("worker", "api")  # with one of them up, the service is


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was measured, and what shows it."""

    value: float = 0.0
    evidence: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a measurement may need besides the database, and what is read for all of them at once.

    The mode in force, the facts, the processes that live, this host's memory, the last ledger.
    """

    settings: Settings
    mode: Mode
    facts: "Facts"
    alive: Sequence[ProcessView]
    memory_percent: float
    ledger_faults: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one statement tells: the time, and of each condition whether there may be anything to measure.

    When a pause was last ended, and whether one is in force; what was seen of Redis; when each trigger fired;
    how many reports of users came lately; whether any worker has crashed, and whether any job waits for RQ.
    """

    now: datetime
    resumed_at: datetime | None
    paused: bool
    redis: Mapping[str, Any] | None
    fired: Mapping[str, Any] | None
    reports: int
    any_crashed: bool
    any_waits: bool


Measure = Callable[[Connection, Surroundings], Reading]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Holds while its value is over `threshold`, in `unit`.

    `holds_seconds`: for so long it must hold before it counts. `advice`: it never starts a rollback.
    `off`: it is not looked at.
    """

    name: str
    threshold: float
    unit: str
    measure: Measure
    holds_seconds: float = 0.0
    advice: bool = False
    off: bool = False


def conditions(settings: Settings) -> Sequence[Condition]:
    """All of them, as these settings have them; a threshold of 0 switches one off."""
    hold = settings.rollback_hold_seconds
    limit = settings.worker_memory_limit_bytes
    slower = 1 + settings.advise_on_slowdown_percent / 100
    return [
        _condition("redis", settings.rollback_on_redis_seconds, "seconds", _redis),
        _condition("crashes", settings.rollback_on_crashes, "crashes", _crashes),
        _condition("waiting", settings.rollback_on_waiting_seconds, "seconds", _waiting),
        _condition("memory", settings.rollback_on_memory_percent, "percent", _memory, holds_seconds=hold),
        _condition("worker_memory", limit, "bytes", _worker_memory, holds_seconds=hold),
        _condition("response_time", settings.advise_on_response_seconds, "seconds", _response_time, advice=True),
        Condition(name="ledger", threshold=0, unit="faults", measure=_ledger, advice=True),
        Condition(
            name="slowdown",
            threshold=slower,
            unit="ratio",
            measure=_slowdown,
            advice=True,
            off=not settings.advise_on_slowdown_percent,
        ),
        _condition("user_reports", settings.advise_on_user_reports, "reports", _user_reports, advice=True),
    ]


def _condition(
    name: str, threshold: float, unit: str, measure: Measure, *, holds_seconds: float = 0.0, advice: bool = False
) -> Condition:
    return Condition(
        name=name,
        threshold=threshold,
        unit=unit,
        measure=measure,
        holds_seconds=holds_seconds,
        advice=advice,
        off=not threshold,
    )


def _redis(connection: Connection, around: Surroundings) -> Reading:  # noqa: ARG001 - the shape of a measurement
    seen = redis_seen_in(around.facts.redis, around.facts.now)
    evidence = {"failing_since": _text(seen.failing_since), "reached_at": _text(seen.reached_at)}
    return Reading(value=round(seen.failing.total_seconds(), 1), evidence=evidence)


def _crashes(connection: Connection, around: Surroundings) -> Reading:
    """Worker processes that fell silent without a goodbye, within the window and since this mode began."""
    if not around.facts.any_crashed:
        return Reading(evidence={"processes": []})
    window = timedelta(seconds=around.settings.rollback_on_crashes_window_seconds)
    since = max(around.facts.now - window, around.mode.since)
    names = list(connection.execute(_CRASHED, {"since": since}).scalars())
    return Reading(value=len(names), evidence={"processes": names[:10]})


def _waiting(connection: Connection, around: Surroundings) -> Reading:
    """For how long the due job that has waited longest for RQ has waited; nothing while somebody has paused.

    A job waits since its last event, or since it became due: when it was accepted says little of one that was
    released or retried. It waits for RQ only since RQ could have run it: see `_could_run_since`.
    """
    could_run = _could_run_since(around)
    if could_run is None or not around.facts.any_waits:
        return Reading()
    waits = {
        row.id: around.facts.now - max(one for one in (row.due_at, row.created_at, could_run) if one)
        for row in connection.execute(_OLDEST)
    }
    if not waits:
        return Reading()
    job_id = max(waits, key=lambda one: waits[one])
    return Reading(value=round(waits[job_id].total_seconds(), 1), evidence={"job_id": job_id})


def _waits_for_rq() -> Select[Any]:
    """The due jobs that wait for RQ."""
    waiting = [jobs.c.status == "pending", jobs.c.backend == "rq", jobs.c.kind.not_in(PINNED_KINDS)]
    return select(jobs.c.id, jobs.c.seq, jobs.c.due_at).where(*waiting, claims.is_due())


def _oldest() -> CompoundSelect[Any]:
    """Of each priority the jobs that have waited longest for RQ, and when their last event was.

    As they stand in the index of what is pulled, and event by event: it costs the same however many wait, whatever
    the database knows of its tables just then.
    """
    place = tuple_(jobs.c.priority, jobs.c.id)
    oldest = [
        _waits_for_rq()
        .where(place > tuple_(number, ""), place < tuple_(number + 1, ""))
        .order_by(*place)
        .limit(_OLDEST_LOOKED_AT)
        .subquery()
        for number in range(len(PRIORITIES))
    ]
    return union_all(*(_with_last_event(those) for those in oldest))


def _with_last_event(those: Subquery) -> Select[Any]:
    last = (events.c.job_id == those.c.id) & (events.c.sequence == those.c.seq)
    return select(
        those.c.id, those.c.due_at, select(events.c.created_at).where(last).scalar_subquery().label("created_at")
    )


# Asked for every other second, also while nothing happens: built once.
_OLDEST = _oldest()
_FIRED = select(service_state.c.value).where(service_state.c.name == FIRED_STATE)
_ANY_CRASHED = select(processes.c.name).where(
    processes.c.role == "worker", processes.c.state == "crashed", processes.c.ended_at < db_now(-_CRASHED_FOR_SECONDS)
)
_CRASHED = _ANY_CRASHED.where(processes.c.ended_at > bindparam("since", type_=processes.c.ended_at.type)).order_by(
    processes.c.ended_at.desc()
)
_FACTS = select(
    db_now().label("now"),
    RESUMED_AT.label("resumed_at"),
    claims.is_paused().label("paused"),
    SEEN.label("redis"),
    _FIRED.scalar_subquery().label("fired"),
    user_reports.LATELY.label("reports"),
    _ANY_CRASHED.exists().label("any_crashed"),
    _waits_for_rq().exists().label("any_waits"),
)


def read_facts(connection: Connection) -> Facts:
    """The facts now."""
    return Facts(**connection.execute(_FACTS).one()._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it


def _could_run_since(around: Surroundings) -> datetime | None:
    """Since when this mode has been in force with nobody pausing it and the service up; None: it is not so now."""
    mode = around.mode
    serving = [one.started_at for one in around.alive if one.role in _SERVING_ROLES and one.state == "serving"]
    if around.facts.paused or not serving:
        return None
    return max(mode.since, around.facts.resumed_at or mode.since, min(serving))


def _memory(connection: Connection, around: Surroundings) -> Reading:  # noqa: ARG001 - as above
    """The fullest host: each process says how full its own is; of this one it is known without asking."""
    told = {one.name: float(one.figures.get("memory_percent") or 0) for one in around.alive}
    fullest = max(told, key=lambda name: told[name], default=None)
    if fullest is None or told[fullest] <= around.memory_percent:
        return Reading(value=round(around.memory_percent, 1))
    return Reading(value=round(told[fullest], 1), evidence={"process": fullest})


def _worker_memory(connection: Connection, around: Surroundings) -> Reading:  # noqa: ARG001 - as above
    workers = [one for one in around.alive if one.role == "worker"]
    held = {one.name: float(one.figures.get("rss_bytes") or 0) for one in workers}
    largest = max(held, key=lambda name: held[name], default=None)
    return Reading(value=held[largest], evidence={"process": largest}) if largest else Reading()


def _response_time(connection: Connection, around: Surroundings) -> Reading:  # noqa: ARG001 - as above
    return Reading(value=round(_answer_seconds(around) or 0.0, 3))


def _slowdown(connection: Connection, around: Surroundings) -> Reading:  # noqa: ARG001 - as above
    ratio = performance_ratio(_answer_seconds(around), around.settings.rollback_baseline_seconds)
    return Reading(value=round(1 / ratio, 3), evidence={"performance_ratio": round(ratio, 3)})


def _answer_seconds(around: Surroundings) -> float | None:
    return mean_answer_seconds([one.figures for one in around.alive if one.role == "api" and one.state in ANSWERING])


def _ledger(connection: Connection, around: Surroundings) -> Reading:  # noqa: ARG001 - as above
    return Reading(value=around.ledger_faults)


def _user_reports(connection: Connection, around: Surroundings) -> Reading:  # noqa: ARG001 - as above
    return Reading(value=around.facts.reports)


def in_words(condition: Condition, reading: Reading) -> str:
    """What a condition has found, as the reason of a rollback."""
    return f"trigger {condition.name}: {reading.value:g} {condition.unit}, over {condition.threshold:g}"


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
