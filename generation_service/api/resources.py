"""Jobs and episodes as resources: the shapes of the contract, with a message in the caller's language."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from generation_service import texts
from generation_service.api import failures
from generation_service.jobs.model import Job, Json, StepRecord
from generation_service.texts import Language


def job_resource(
    job: Job, records: Sequence[StepRecord], step_names: Sequence[str], language: Language
) -> dict[str, Json]:
    """A job as its resource; `step_names` are all steps of its recipe, `records` those that were ever started."""
    known = {record.name: record for record in records}
    return {
        "job_id": job.id,
        "status": job.status,
        "backend": job.backend,
        "recipe": job.recipe,
        "project_id": job.project_id,
        "priority": job.priority,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "progress": round(min(max(job.progress, 0.0), 100.0), 1),
        "message": message(job, known, step_names, language),
        "steps": [_step(name, known.get(name), language) for name in step_names],
        "error": failures.failure(job.error, language) if job.error else None,
        "result": dict(job.result) if job.result else None,
        "usage": {
            "input_tokens": job.input_tokens,
            "output_tokens": job.output_tokens,
            "saved_tokens": job.saved_tokens,
        },
        "created_at": rfc3339(job.created_at),
        "started_at": rfc3339(job.started_at),
        "completed_at": rfc3339(job.completed_at),
        "urls": job_urls(job.id),
    }


def job_urls(job_id: str) -> dict[str, str]:
    """Where a job's resource, events and actions are."""
    base = f"/api/generation/{job_id}"
    return {"self": base, **{name: f"{base}/{name}" for name in ("events", "cancel", "retry", "result")}}


def message(job: Job, known: Mapping[str, StepRecord], step_names: Sequence[str], language: Language) -> str:
    """One sentence about where the job stands."""
    count = len(step_names)
    tries = {"attempt": job.attempt, "max_attempts": job.max_attempts}
    if job.status == "running":
        under_way = [name for name in step_names if name in known and known[name].status == "running"]
        if not under_way:
            return texts.text("job.running", language)
        number = step_names.index(under_way[-1]) + 1
        return texts.text("job.running_step", language, number=number, count=count, step=under_way[-1])
    if job.status == "pending":
        done = sum(record.committed for record in known.values())
        key = "job.waiting_again" if job.failures else "job.going_on" if done else "job.pending"
        return texts.text(key, language, done=done, count=count, **tries)
    episode = (job.result or {}).get("episode_number")
    if job.status == "completed" and episode is not None:
        return texts.text("job.completed_episode", language, number=episode)
    return texts.text(f"job.{job.status}", language, **tries)


def episode_resource(row: Mapping[str, Any]) -> dict[str, Json]:
    """A row of `episodes` as its resource."""
    own = f"/api/projects/{row['project_id']}/episodes/{row['number']}"
    job = job_urls(row["job_id"])
    shown = ("number", "title", "project_id", "recipe", "language", "generator", "job_id")
    return {
        "episode_id": row["id"],
        **{name: row[name] for name in shown},
        "created_at": rfc3339(row["created_at"]),
        "urls": {"self": own, "job": job["self"], "result": job["result"]},
    }


def rfc3339(moment: datetime | None) -> str | None:
    """A time in RFC 3339, in UTC, as exact as it is stored: a filter takes it back."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z") if moment else None


def _step(name: str, record: StepRecord | None, language: Language) -> dict[str, Json]:
    if record is None:
        empty = ("attempt", "started_at", "completed_at", "duration_seconds", "reason", "reason_code", "error")
        return {"name": name, "status": "pending", **dict.fromkeys(empty)}
    ended = record.completed_at
    reason, reason_code = failures.skipped(record.reason, language)
    return {
        "name": name,
        "status": record.status,
        "attempt": record.attempt,
        "started_at": rfc3339(record.started_at),
        "completed_at": rfc3339(ended),
        "duration_seconds": round(max(0.0, (ended - record.started_at).total_seconds()), 3) if ended else None,
        "reason": reason,
        "reason_code": reason_code,
        "error": failures.failure(record.error, language) if record.error else None,
    }
