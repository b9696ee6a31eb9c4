"""The facade of the core: what the API, the command line and other jobs ask of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.database.grouping import Answer, Grouped
from generation_service.errors import Refused
from generation_service.jobs import queries, settlement, submission, transitions
from generation_service.jobs.ids import is_id, new_job_id
from generation_service.jobs.model import IdempotencyKey, Job, JobId, NewJob, StepRecord, Submitted
from generation_service.jobs.ports import Effect, JobKind, Wakeups
from generation_service.jobs.queries import JobFilter, Page
from generation_service.jobs.routing import target_backend
from generation_service.jobs.submission import Admission, Submission


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A job after a cancellation, and whether this call is what ended it."""

    job: Job
    by_this_call: bool


# While the server is busy with one group, the process makes the next.
_ABREAST = 2
# An answer comes that much later under load, and the process has half as much to do.
_PACE_SECONDS = 0.015


class Jobs:
    """Accepts, shows, cancels and reopens jobs. Whoever submits or reopens delivers the job afterwards."""

    def __init__(
        self, *, database: Database, kinds: Mapping[str, JobKind], admission: Admission, wakeups: Wakeups
    ) -> None:
        self._database = database
        self._kinds = kinds
        self._wakeups = wakeups
        self.admission = admission
        abreast = _ABREAST if database.dialect == "postgresql" else 1
        self._submissions: Grouped[Submission, Submitted] = Grouped(
            database, self._submit_all, abreast=abreast, pace_seconds=_PACE_SECONDS
        )

    async def submit(
        self, wanted: NewJob, *, key: IdempotencyKey | None = None, within: Effect | None = None
    ) -> Submitted:
        """Accept a job, or find the one that its key made; see `submission.submit`.

        What the callers of a process submit at once is accepted by one transaction, each with its own answer.
        """
        if within is not None:
            return await self._database.write(
                lambda connection: submission.submit(connection, wanted, self.admission, key=key, within=within)
            )
        return await self._submissions.add(Submission(wanted=wanted, key=key, job_id=wanted.id or new_job_id()))

    async def get(self, job_id: str, user_id: str | None = None) -> Job:
        """The job. Raises Refused: `job_not_found` (404; another user's too), `job_pruned` (410)."""
        return await self._database.read(lambda connection: _get(connection, job_id, user_id))

    async def steps(self, job_id: JobId) -> Sequence[StepRecord]:
        """The steps that were ever started, in order."""
        return list((await self._database.read(lambda connection: transitions.find_steps(connection, job_id))).values())

    async def get_with_steps(self, job_id: str, user_id: str | None = None) -> tuple[Job, Sequence[StepRecord]]:
        """`get` and `steps` from one snapshot."""

        def unit(connection: Connection) -> tuple[Job, Sequence[StepRecord]]:
            job = _get(connection, job_id, user_id)
            return job, list(transitions.find_steps(connection, job.id).values())

        return await self._database.read(unit)

    async def list(self, wanted: JobFilter, *, limit: int, cursor: str | None = None) -> Page[Job]:
        """A page of jobs, the newest first. Raises Refused `invalid_cursor` (422)."""
        if cursor is not None and not is_id(cursor):
            raise Refused("invalid_cursor", 422)
        before = JobId(cursor) if cursor else None
        return await self._database.read(
            lambda connection: queries.list_jobs(connection, wanted, limit=limit, before=before)
        )

    async def cancel(self, job_id: JobId) -> Cancelled:
        """End a job that waits or runs; one that had ended is returned as it is."""

        def unit(connection: Connection) -> Cancelled:
            job = settlement.cancel(connection, job_id, self._kinds)
            return Cancelled(job or _get(connection, job_id, None), by_this_call=job is not None)

        cancelled = await self._database.write(unit)
        self._wakeups.wake([job_id])
        return cancelled

    def cancel_within(self, connection: Connection, job_id: JobId, *, counted: bool = True) -> Job | None:
        """As `cancel`, as part of a transaction; None where the job had ended. Whoever commits wakes its readers.

        Whoever cancels several at once counts them (`counters`, "ended"), as the last of the transaction.
        """
        return settlement.cancel(connection, job_id, self._kinds, counted=counted)

    def wake(self, job_ids: Sequence[JobId]) -> None:
        """Tell the readers of these jobs' events that there are some, after the commit."""
        self._wakeups.wake(job_ids)

    async def reopen(self, job_id: JobId, from_step: str | None = None) -> Job:
        """Let a failed job run again, from its last committed step or from `from_step`.

        Raises Refused: `job_not_failed` (409), `unknown_step` (422).
        """
        job = await self._database.write(lambda connection: self._reopen(connection, job_id, from_step))
        self._wakeups.wake([job_id])
        return job

    def reopen_within(self, connection: Connection, job_id: JobId, project_id: str | None) -> Job | None:
        """Let a failed job of this project run again, from its last committed step, as part of a transaction.

        None where it had not failed. Whoever commits wakes its readers and delivers it, and has counted what was
        reopened (`counters`, "reopened"), as the last of the transaction.
        """
        backend = target_backend(connection, project_id)
        return settlement.reopen(connection, job_id, self._kinds, from_ordinal=None, backend=backend, counted=False)

    def step_names(self, job: Job) -> tuple[str, ...]:
        """The names of all the job's steps, in order."""
        return tuple(step.name for step in self._kinds[job.kind].steps(job))

    def _submit_all(self, connection: Connection, submissions: Sequence[Submission]) -> Sequence[Answer[Submitted]]:
        return submission.submit_all(connection, submissions, self.admission)

    def _reopen(self, connection: Connection, job_id: JobId, from_step: str | None) -> Job:
        job = _get(connection, job_id, None)
        if job.status != "failed":
            raise Refused("job_not_failed", 409)
        names = self.step_names(job)
        if from_step is not None and from_step not in names:
            raise Refused("unknown_step", 422, params={"steps": ", ".join(names)})
        ordinal = names.index(from_step) if from_step is not None else None
        backend = target_backend(connection, job.project_id)
        reopened = settlement.reopen(connection, job_id, self._kinds, from_ordinal=ordinal, backend=backend)
        if reopened is None:  # somebody was faster
            raise Refused("job_not_failed", 409)
        return reopened


def _get(connection: Connection, job_id: str, user_id: str | None) -> Job:
    job = transitions.find_job(connection, JobId(job_id)) if is_id(job_id) else None
    if job is not None and user_id in (None, job.user_id):
        return job
    if job is None and is_id(job_id) and queries.is_pruned(connection, JobId(job_id)):
        raise Refused("job_pruned", 410)
    raise Refused("job_not_found", 404)
