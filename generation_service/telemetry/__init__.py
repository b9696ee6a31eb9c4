"""Log lines and metrics: what subscribes to what happens."""

from generation_service.telemetry.answers import AnswerTimes, Recent
from generation_service.telemetry.context import current_fields, log_context
from generation_service.telemetry.jobs import JobTelemetry, RunningJob
from generation_service.telemetry.logs import configure_logging
from generation_service.telemetry.totals import Totals

__all__ = [
    "AnswerTimes",
    "JobTelemetry",
    "Recent",
    "RunningJob",
    "Totals",
    "configure_logging",
    "current_fields",
    "log_context",
]
