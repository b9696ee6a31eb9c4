"""Delivers jobs to RQ and looks for lost deliveries; Redis is never more than a hint."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from redis.exceptions import RedisError
from rq.utils import now, utcformat

from generation_service.jobs.model import Backend
from generation_service.jobs.ports import Deliverable, HasArrived
from workers import scripts
from workers.delivery import DeliveryThread, Entry
from workers.names import (
    FAILURE_TTL_SECONDS,
    QUEUE_OF,
    QUEUES,
    RESULT_TTL_SECONDS,
    RUN_JOB,
    WAKE_CHANNEL,
    intermediate_key,
    queue_key,
    rq_id,
    rq_id_of,
    started_key,
)
from workers.redis_connection import connect

_MOST_PENDING = 100_000  # deliveries that may wait for Redis in this process
_CLOSE_SECONDS = 2.0
_NO_TIMEOUT = -1  # the job's own limits count, not RQ's
_QUEUE_KEYS = [queue_key(name) for name in QUEUE_OF.values()]
_NUMBER_OF = {priority: number for number, priority in enumerate(QUEUE_OF, 1)}


class RqBackend:
    """The backend `rq`. Safe to use from any thread and any event loop; forks begin with their own."""

    backend: Backend = "rq"

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        # Two clients: a look at the queues must not wait for a delivery's connection, nor the other way round.
        self._delivering = connect(url, timeout_seconds=timeout_seconds)
        self._looking = connect(url, timeout_seconds=timeout_seconds)
        self._deliver = self._delivering.register_script(scripts.DELIVER)
        self._thread = DeliveryThread(self._enqueue, most_pending=_MOST_PENDING)

    def deliver(self, jobs: Iterable[Deliverable]) -> None:
        """Hand over to the delivery thread and return at once; never raises, and may lose them."""
        self._thread.put([Entry(rq_id(job), job.id, job.priority) for job in jobs])

    def look(self) -> HasArrived:
        """See every delivery in a queue, an intermediate list or a started registry. Raises ConnectionError.

        One transaction reads all of them at one instant, and every move of ours between two places is one
        script: so an id on its way from a queue into a worker is always seen. A stock `rq worker`
        takes an id out of all lists for an instant between its pop and its registration; so a job
        counts as lost only when it is missing twice in a row, a while apart. Blocking.
        """
        with _unreachable_as_connection_error(), self._looking.pipeline(transaction=True) as pipeline:
            for queue in QUEUES:
                pipeline.lrange(queue_key(queue), 0, -1)
                pipeline.lrange(intermediate_key(queue), 0, -1)
                pipeline.zrange(started_key(queue), 0, -1)
            found = pipeline.execute()
        # In a registry an execution's id follows, behind a colon.
        there = {name.partition(b":")[0] for place in found for name in place}
        return lambda job_id, delivery: rq_id_of(job_id, delivery).encode() in there

    def queue_depths(self) -> Mapping[str, int]:
        """How many ids wait in each queue, by its name. Blocking. Raises ConnectionError."""
        with _unreachable_as_connection_error(), self._looking.pipeline(transaction=False) as pipeline:
            for queue in QUEUES:
                pipeline.llen(queue_key(queue))
            return dict(zip(QUEUES, pipeline.execute(), strict=True))

    def ping(self) -> bool:
        """Whether Redis answers within the time-out; blocking, never raises."""
        try:
            return bool(self._looking.ping())
        except RedisError:
            return False

    def close(self) -> None:
        """Send what is pending, for at most two seconds, and close the connections."""
        self._thread.close(_CLOSE_SECONDS)
        for client in (self._delivering, self._looking):
            client.close()

    def _enqueue(self, entries: Sequence[Entry]) -> None:
        told = [RUN_JOB, utcformat(now()), _NO_TIMEOUT, RESULT_TTL_SECONDS, FAILURE_TTL_SECONDS, WAKE_CHANNEL]
        ids = [part for entry in entries for part in (_NUMBER_OF[entry.priority], entry.rq_id)]
        self._deliver(keys=_QUEUE_KEYS, args=[*told, *ids])


@contextmanager
def _unreachable_as_connection_error() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise ConnectionError(f"Redis did not answer: {type(error).__name__}") from error
