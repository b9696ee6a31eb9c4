"""The names RQ knows us by: queues, ids, entry points, keys, and how long a trace is kept."""

from collections.abc import Mapping

from generation_service.jobs.model import JobId, Priority
from generation_service.jobs.ports import Deliverable

QUEUE_OF: Mapping[Priority, str] = {
    "high": "rag_processing_high",
    "default": "rag_processing",
    "low": "rag_processing_low",
}
QUEUES: tuple[str, ...] = tuple(QUEUE_OF.values())  # in the order in which they are popped

RUN_JOB = "workers.entrypoints.run_job"
FIRE_SCHEDULES = "workers.entrypoints.fire_schedules"

TICK_PREFIX = "tick-"  # no job id has this form, so a tick is never taken for a job
TICK_QUEUE = QUEUE_OF["high"]

MIGRATION_FAILED_KEY = "rq:queue:migration_failed"  # a list: what a migration could not place, for a person to see

# A published wake saves a waiting worker the rest of its pause; one that is lost costs only that.
WAKE_CHANNEL = "generation:deliveries"
MAINTENANCE_LOCK = "generation:rq-maintenance"

# What RQ keeps of a delivery is a trace: the truth is in the database.
RESULT_TTL_SECONDS = 300
FAILURE_TTL_SECONDS = 24 * 3600

_UUID_LENGTH = 36


def rq_id(job: Deliverable) -> str:
    """The id of this job's last delivery in RQ: new for each delivery, so RQ never sees one twice."""
    return rq_id_of(job.id, job.delivery)


def rq_id_of(job_id: JobId, delivery: int) -> str:
    """The id of one delivery of a job in RQ."""
    return f"{job_id}-{delivery}"


def job_id_of(rq_id: str) -> JobId | None:
    """The job that an RQ id made by `rq_id` delivers; None for an id of another form."""
    job_id, delivery = rq_id[:_UUID_LENGTH], rq_id[_UUID_LENGTH:]
    if job_id.count("-") == 4 and delivery[:1] == "-" and delivery[1:].isdecimal():  # noqa: PLR2004 - as a UUID has
        return JobId(job_id)
    return None


def queue_key(queue: str) -> str:
    """The list of ids that wait."""
    return f"rq:queue:{queue}"


def intermediate_key(queue: str) -> str:
    """The list of ids that a worker has popped and not yet registered as started."""
    return f"rq:queue:{queue}:intermediate"


def started_key(queue: str) -> str:
    """The sorted set of `<rq id>:<execution id>` that run, by when they count as abandoned."""
    return f"rq:wip:{queue}"


def registry_key(name: str, queue: str) -> str:
    """The sorted set of the ids that RQ has in the registry `name`; that of what runs has a name of its own."""
    return started_key(queue) if name in {"started", "abandoned"} else f"rq:{name}:{queue}"
