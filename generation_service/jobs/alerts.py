"""Alerts: what somebody is to be told, written in the transaction that makes it true, and told by whoever comes by."""

from collections.abc import Mapping
from typing import Literal

from sqlalchemy import Connection

from generation_service.database import db_now
from generation_service.database.tables import alerts
from generation_service.database.upsert import upsert
from generation_service.jobs.ids import uuid7
from generation_service.jobs.model import Job, JobError, Json

AlertType = Literal[
    "job_failed", "document_failed", "file_quarantined", "program_keeps_failing", "retries_keep_failing"
]


def add(
    connection: Connection, alert: AlertType, subject: str, detail: Mapping[str, Json], *, fingerprint: str
) -> None:
    """Add an alert about `subject` (an id); the same `fingerprint` is told once.

    `detail` holds ids, codes and figures, never what a user has sent.
    """
    statement = upsert(connection, alerts).values(
        id=uuid7(),
        type=alert,
        subject=subject,
        fingerprint=fingerprint,
        detail=dict(detail),
        created_at=db_now(),
        due_at=db_now(),
        tries=0,
    )
    connection.execute(statement.on_conflict_do_nothing())


def add_failed_job(connection: Connection, job: Job, error: JobError) -> None:
    """Tell that a job has failed for good; part of the transaction that ends it."""
    detail = {"kind": job.kind, "recipe": job.recipe, "attempts": job.attempt, **error.as_json()}
    add(connection, "job_failed", job.id, detail, fingerprint=f"job {job.id} {job.fence}")
