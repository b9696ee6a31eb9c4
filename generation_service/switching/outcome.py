"""The outcome of a switch: what was found, who was affected, what moved, and whether it went well."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select, union

from generation_service.database import db_now
from generation_service.database.tables import events, jobs
from generation_service.jobs.model import Json
from generation_service.jobs.schedules import SCHEDULER
from generation_service.switching import audit
from generation_service.switching.switches import Switch

SYSTEM_USER = "system"
"""Whose jobs the service's own trials are."""

_NOBODY = (SYSTEM_USER, SCHEDULER)

_PASSING = frozenset({"jobs_left", "ledger_not_clean", "no_api_process", "no_worker_process"})
"""What a little patience may mend."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know; `code` names a text, `params` fill it. `blocks`: it is not all done."""

    code: str
    params: Mapping[str, Json] = field(default_factory=dict)
    blocks: bool = True

    @property
    def passes(self) -> bool:
        return self.code in _PASSING

    def as_json(self) -> dict[str, Json]:
        return {"code": self.code, "params": dict(self.params), "blocks": self.blocks}


def of(connection: Connection, *, switch: Switch) -> Mapping[str, Json]:
    """What is kept at the end: affected users, jobs moved, failed jobs, findings."""
    findings = _findings(switch)
    return {
        **_moved(connection, switch),
        "failed_jobs": _failed(connection, switch),
        "findings": findings,
        "seconds": _seconds(connection, switch),
    }


def conclude(
    connection: Connection,  # noqa: ARG001 - the shape of what runs within a step's transaction
    changes: dict[str, Any],
    *,
    switch: Switch,
    found: Mapping[str, Json],
) -> Mapping[str, Json]:
    """End the switch in the transaction that records its last step, with an entry in the audit."""
    well = not any(finding["blocks"] for finding in found["findings"])
    status = "completed" if well else "failed"
    changes |= {"status": status, "completed_at": db_now(), "lease_until": None, "report": {"outcome": dict(found)}}
    changes["audit"] = audit.Entry(
        actor=switch.said_by,
        action=switch.kind,
        reason=switch.reason,
        request={"switch_id": switch.id},
        outcome="done" if well else "failed",
        result={name: found[name] for name in ("jobs_moved", "affected_users", "failed_jobs", "findings")},
    )
    return {"status": status}


def _findings(switch: Switch) -> list[dict[str, Json]]:
    """What the verification found, what the gates refused, and what could not be carried out."""
    found: list[dict[str, Json]] = []
    for step in switch.steps:
        result = step["result"]
        if "error" in result:
            # A migration that was refused is made up for by the verification, which says so where it was not.
            blocks = step["name"] != "migrate"
            detail = {"step": step["name"], "error": result["error"]}
            found.append(Finding("step_failed", detail, blocks=blocks).as_json())
        if result.get("redis") == "unreachable":
            found.append(Finding("redis_unreachable", blocks=False).as_json())
        if step["name"] == "gates":
            found += _gates(result)
        found += result.get("findings", [])
    return [one for number, one in enumerate(found) if one not in found[:number]]


def _gates(result: Mapping[str, Any]) -> list[dict[str, Json]]:
    failed = [gate["name"] for gate in result.get("gates", []) if not gate["passed"]]
    code = "gates_forced" if result.get("passed") else "gates_failed"
    return [Finding(code, {"gates": ", ".join(failed)}, blocks=code == "gates_failed").as_json()] if failed else []


def _moved(connection: Connection, switch: Switch) -> dict[str, Json]:
    """Counted by the events that tell of it, so that a migration in several tries is counted whole."""
    event = select(events.c.job_id).where(
        events.c.job_id == jobs.c.id, events.c.type == "switched", events.c.created_at >= switch.started_at
    )
    conditions = (jobs.c.status == "pending", jobs.c.status == "running", jobs.c.completed_at >= switch.started_at)
    lately = jobs.c.id.in_(union(*(select(jobs.c.id).where(one) for one in conditions)))  # each has an index
    users = func.count(jobs.c.user_id.distinct()).filter(jobs.c.user_id.not_in(_NOBODY))
    counted = connection.execute(select(func.count(), users).select_from(jobs).where(lately, event.exists())).one()
    return {"jobs_moved": counted[0], "affected_users": counted[1]}


def _failed(connection: Connection, switch: Switch) -> int:
    failed = select(func.count()).select_from(jobs)
    ended = (jobs.c.status == "failed", jobs.c.completed_at >= switch.started_at)
    return int(connection.execute(failed.where(*ended)).scalar_one())


def _seconds(connection: Connection, switch: Switch) -> float:
    now = connection.execute(select(db_now())).scalar_one()
    return round((now - switch.started_at).total_seconds(), 2)
