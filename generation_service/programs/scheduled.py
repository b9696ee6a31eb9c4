"""Scheduled retries: a job that, hourly and daily, takes the files that are to be tried again by themselves.

It takes them only; every process that looks after programs reopens what was taken, and delivers it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Literal
from zoneinfo import ZoneInfo

from croniter import croniter
from sqlalchemy import ColumnElement, Connection, and_, case, func, select

from generation_service.database import Database, db_now
from generation_service.database.programs import program_files, programs
from generation_service.database.tables import firings
from generation_service.jobs import alerts, leadership, transitions
from generation_service.jobs.model import Job, JobId, Json
from generation_service.jobs.ports import Ending, Step, StepOutcome, StepRun
from generation_service.jobs.schedules import Schedule, next_due
from generation_service.programs.retrying import PASSING, begin_by_itself
from generation_service.settings import Settings

KIND = "program_retries"
_LEASE = "program_retries"
_LEASE_SECONDS = 60.0
_SCHEDULES = {"hourly": "program_retries", "daily": "program_retries_daily"}

Run = Literal["hourly", "daily"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """When files are tried again by the schedule: `delays_seconds` after their first, second, ... such failure."""

    max_retries: int
    delays_seconds: Sequence[float]
    hourly_cron: str
    daily_cron: str
    timezone: str

    @classmethod
    def of(cls, settings: Settings) -> "RetryRules":
        return cls(
            max_retries=settings.program_retry_max,
            delays_seconds=settings.program_retry_delays_seconds,
            hourly_cron=settings.program_retry_cron,
            daily_cron=settings.program_retry_daily_cron,
            timezone=settings.timezone,
        )

    @property
    def schedules(self) -> list[Schedule]:
        """What fires the runs."""
        crons = {"hourly": self.hourly_cron, "daily": self.daily_cron}
        return [
            Schedule(id=_SCHEDULES[run], cron=cron, timezone=self.timezone, kind=KIND, request={"run": run})
            for run, cron in crons.items()
        ]

    def delay_seconds(self, tried: int) -> float:
        """How long a file waits that the schedule has tried so often."""
        return self.delays_seconds[min(tried, len(self.delays_seconds) - 1)]

    def is_daily(self, due_at: datetime) -> bool:
        """Whether the daily run is due at that time, too."""
        return bool(croniter.match(self.daily_cron, due_at.astimezone(ZoneInfo(self.timezone))))

    def next_run(self, after: datetime) -> datetime:
        """When the next run comes after that time."""
        return min(next_due(cron, self.timezone, after) for cron in (self.hourly_cron, self.daily_cron))

    @property
    def due(self) -> ColumnElement[bool]:
        """Whether a file that failed for a passing reason has waited long enough, and has tries left."""
        tried = program_files.c.auto_retry_count
        waited = [
            (tried == count, program_files.c.ended_at <= db_now(-seconds))
            for count, seconds in enumerate(self.delays_seconds[:-1])
        ]
        last = program_files.c.ended_at <= db_now(-self.delays_seconds[-1])
        long_enough = case(*waited, else_=last) if waited else last
        return and_(program_files.c.retry_id.is_(None), tried < self.max_retries, long_enough)


class ProgramRetriesKind:
    """The kind `program_retries`; its request is `{"run": "hourly" | "daily"}`."""

    kind = KIND
    shares_commits = False

    def __init__(self, database: Database, rules: RetryRules) -> None:
        self._step = _RetryStep(database, rules)

    def steps(self, job: Job) -> Sequence[Step]:  # noqa: ARG002 - the port's signature
        return [self._step]

    def on_started(self, connection: Connection, jobs: Sequence[Job]) -> None:
        """Nothing belongs to it."""

    def on_ended(self, connection: Connection, endings: Sequence[Ending]) -> Sequence[Mapping[str, Json] | None]:
        """Show what the step did, and let the next run begin at once."""
        return [self._end(connection, one) for one in endings]

    def _end(self, connection: Connection, ending: Ending) -> Mapping[str, Json] | None:
        leadership.give_up(connection, _LEASE, ending.job.id)
        if ending.status == "failed" and ending.error is not None:
            alerts.add_failed_job(connection, ending.job, ending.error)
        record = transitions.find_steps(connection, ending.job.id).get(_RetryStep.name)
        if ending.status != "completed" or record is None:
            return None
        return {"skipped": record.reason} if record.status == "skipped" else record.output

    def on_reopened(self, connection: Connection, job: Job) -> None:
        """Nothing belongs to it."""


class _RetryStep:
    """Takes the files program by program, each in a transaction of its own; a run that was cut goes on."""

    name = "retry"

    def __init__(self, database: Database, rules: RetryRules) -> None:
        self._database = database
        self._rules = rules

    async def run(self, run: StepRun) -> StepOutcome:
        wanted: Run = "daily" if run.job.request.get("run") == "daily" else "hourly"
        due_at = await self._database.read(lambda connection: _due_at(connection, run.job.id))
        if wanted == "hourly" and due_at is not None and self._rules.is_daily(due_at):
            return StepOutcome(output={}, status="skipped", reason="daily_run_instead")
        retried, program_id = 0, ""
        while True:
            run.check_lease()
            if not await self._database.write(lambda connection: _hold(connection, run.job.id)):
                return StepOutcome(output={}, status="skipped", reason="another_run")
            following = await self._database.read(partial(self._next, after=program_id))
            if following is None:
                return StepOutcome(output={"programs": retried})
            program_id = following
            begin = partial(begin_by_itself, program_id=program_id, source=wanted, wanted=self._rules.due)
            retried += await self._database.write(begin) is not None

    def _next(self, connection: Connection, after: str) -> str | None:
        """The next program, by id, that has files to be tried again."""
        found = (
            select(func.min(programs.c.id))
            .join(program_files, program_files.c.program_id == programs.c.id)
            .where(programs.c.id > after, programs.c.deleted_at.is_(None), PASSING, self._rules.due)
        )
        following: str | None = connection.execute(found).scalar_one()
        return following


def _due_at(connection: Connection, job_id: JobId) -> datetime | None:
    """The time that this run was due at; None where nobody's schedule has fired it."""
    return connection.execute(select(firings.c.due_at).where(firings.c.job_id == job_id)).scalar_one_or_none()


def _hold(connection: Connection, job_id: JobId) -> bool:
    """Be the one run, as this job: it still is after its process was lost."""
    return leadership.take_or_keep(connection, _LEASE, job_id, _LEASE_SECONDS)
