"""The report of a switch: for programs as JSON, for people as YAML and Markdown, in either language."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from generation_service.jobs.model import Json
from generation_service.switching.report_markdown import markdown
from generation_service.switching.report_yaml import dump
from generation_service.switching.switches import Switch
from generation_service.texts import Language, text


def as_json(switch: Switch, language: Language = "en") -> dict[str, Json]:
    """Everything that is known of a switch; under `rollback_report` (`rollforward_report`) as people read it."""
    return {
        "id": switch.id,
        "kind": switch.kind,
        "status": switch.status,
        "epoch": switch.epoch,
        "source": switch.source,
        "said_by": switch.said_by,
        "reason": switch.reason,
        "started_at": _time(switch.started_at),
        "completed_at": _time(switch.completed_at) if switch.completed_at else None,
        "asked": switch.report.get("asked", {}),
        "evidence": switch.report.get("evidence", {}),
        "before": switch.report.get("before", {}),
        "steps": list(switch.steps),
        "outcome": switch.report.get("outcome"),
        f"{switch.kind}_report": told(switch, language),
    }


def as_yaml(switch: Switch, language: Language = "en") -> str:
    """The report as YAML: the fields that a team's template has, and ours."""
    return dump({f"{switch.kind}_report": told(switch, language)})


def as_markdown(switch: Switch, language: Language = "en") -> str:
    """The report as a page."""
    return markdown(switch, told(switch, language), language)


def told(switch: Switch, language: Language) -> dict[str, Json]:
    """The report's fields, in words."""
    outcome: Mapping[str, Any] = switch.report.get("outcome") or {}
    seconds = outcome.get("seconds")
    return {
        "timestamp": _time(switch.started_at),
        "duration": text("switching.report.duration", language, seconds=seconds) if seconds is not None else None,
        "affected_users": outcome.get("affected_users", 0),
        "failed_jobs": outcome.get("failed_jobs", 0),
        "root_cause": switch.reason,
        "actions_taken": [_action(step, language) for step in switch.steps],
        "current_status": text(f"switching.status.{switch.status}", language),
        "next_steps": [text(f"switching.next.{name}", language) for name in _next_steps(switch, outcome)],
        "id": switch.id,
        "said_by": switch.said_by,
        "source": switch.source,
        "jobs_found": switch.report.get("before", {}).get("jobs", {}),
        "jobs_moved": outcome.get("jobs_moved", 0),
        "evidence": switch.report.get("evidence", {}),
        "findings": findings(outcome, language),
    }


def findings(outcome: Mapping[str, Any], language: Language) -> list[str]:
    """What was found, in words."""
    return [finding(one, language) for one in outcome.get("findings", [])]


def finding(one: Mapping[str, Any], language: Language) -> str:
    """One finding, in words."""
    return text(f"switching.finding.{one['code']}", language, **{"waiting": 0, "running": 0, **one["params"]})


def sentence(step: Mapping[str, Any], language: Language) -> str:
    """What a step has done, in words."""
    result = step["result"]
    if "error" in result:
        return text("switching.step.failed", language, error=result["error"])
    shown = dict(result)
    if step["name"] == "gates":
        shown["gates"] = ", ".join(_gate(gate, language) for gate in result["gates"])
    if step["name"] == "verify":
        found = [finding(one, language) for one in result["findings"]]
        shown["findings"] = "; ".join(found) or text("switching.report.none", language)
    return text(f"switching.step.{step['name']}", language, **shown)


def _action(step: Mapping[str, Any], language: Language) -> str:
    time = _time(datetime.fromisoformat(step["started_at"]))
    what = sentence(step, language)
    return text("switching.report.action", language, time=time, what=what, seconds=f"{step['seconds']:.2f}")


def _gate(gate: Mapping[str, Any], language: Language) -> str:
    return text(f"switching.report.gate.{'passed' if gate['passed'] else 'failed'}", language, name=gate["name"])


def _next_steps(switch: Switch, outcome: Mapping[str, Any]) -> list[str]:
    if switch.status == "running":
        return []
    blocked = any(one.get("blocks", True) for one in outcome.get("findings", []))
    if switch.kind == "rollforward":
        return ["gates" if blocked else "raise", "watch"]
    return [*(["findings"] if blocked else []), "watch", "verify", "cause", "redeploy"]


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
