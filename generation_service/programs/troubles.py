"""Troubles with retries: one program whose retries keep failing, and too many failing in all."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, case, func, select

from generation_service.database import db_now
from generation_service.database.programs import program_retries, program_retry_files
from generation_service.jobs import alerts
from generation_service.settings import Settings

_DAY_SECONDS = 86_400.0
_NOTICED = 50  # of a program's last retries
_SERVICE = "retries"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From when on somebody is told; `percent` 0: never of all retries together."""

    percent: float
    count: int
    program_retries: int

    @classmethod
    def of(cls, settings: Settings) -> "Thresholds":
        return cls(
            percent=settings.alert_retry_failure_percent,
            count=settings.alert_retry_failure_count,
            program_retries=settings.alert_program_retries,
        )


def tell(connection: Connection, program_id: str, thresholds: Thresholds) -> None:
    """Tell what is true once a retry of this program has ended; part of the transaction that says so."""
    _tell_of_program(connection, program_id, thresholds)
    _tell_of_all(connection, thresholds)


def _is(outcome: str) -> ColumnElement[int]:
    """Counts files that a retry has run; one that was turned away at the door fails for a reason of its own."""
    return case(((program_retry_files.c.outcome == outcome) & program_retry_files.c.reason.is_(None), 1), else_=0)


def _tell_of_program(connection: Connection, program_id: str, thresholds: Thresholds) -> None:
    """Told once for each row of retries without one success: the oldest of them stands for the row."""
    window = max(_NOTICED, 2 * thresholds.program_retries)
    good = func.sum(_is("success")).label("good")
    ended = (
        select(program_retries.c.id, good)
        .join(program_retry_files, program_retry_files.c.retry_id == program_retries.c.id)
        .where(program_retries.c.program_id == program_id, program_retries.c.completed_at.is_not(None))
        .group_by(program_retries.c.id)
        .having(func.sum(_is("success") + _is("failed")) > 0)
        .order_by(program_retries.c.id.desc())
        .limit(window)
    )
    failing: list[str] = []
    for row in connection.execute(ended):
        if row.good:
            break
        failing.append(row.id)
    if thresholds.program_retries <= len(failing) < window:  # a row that fills the window was told of before
        detail = {"retries": len(failing)}
        fingerprint = f"program {program_id} {failing[-1]}"
        alerts.add(connection, "program_keeps_failing", program_id, detail, fingerprint=fingerprint)


def _tell_of_all(connection: Connection, thresholds: Thresholds) -> None:
    """Told once a day."""
    if not thresholds.percent:
        return
    lately = (
        select(func.sum(_is("success")), func.sum(_is("failed")), db_now())
        .select_from(program_retry_files)
        .join(program_retries, program_retries.c.id == program_retry_files.c.retry_id)
        .where(program_retries.c.created_at > db_now(-_DAY_SECONDS))
    )
    successful, failed, now = connection.execute(lately).one()
    total = (successful or 0) + (failed or 0)
    percent = 100 * (failed or 0) / max(1, total)
    if total >= thresholds.count and percent > thresholds.percent:
        detail = {"retried": total, "failed": failed, "percent": round(percent, 1)}
        alerts.add(connection, "retries_keep_failing", _SERVICE, detail, fingerprint=f"retries {now:%Y-%m-%d}")
