"""What is written to Redis about one worker: its hash, its runs, their endings; each call is one or two round trips."""

import json
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rq import worker_registration
from rq.job import Job as RqJob
from rq.job import JobStatus
from rq.serializers import JSONSerializer
from rq.utils import utcformat
from rq.worker import BaseWorker

from workers import scripts
from workers.book import Counts, Ended, Page
from workers.names import (
    FAILURE_TTL_SECONDS,
    FIRE_SCHEDULES,
    MAINTENANCE_LOCK,
    RESULT_TTL_SECONDS,
    RUN_JOB,
    queue_key,
)
from workers.payload import Delivery

_log = logging.getLogger(__name__)

_SHORTEST_TTL_SECONDS = 60
_HEARTBEATS_A_TTL = 6
_RESULT_TYPES = {"finished": 1, "failed": 2, "stopped": 3}  # rq.results.Result.Type


class Registration:
    """Writes for `worker`; every method is blocking and raises a RedisError where Redis does not take it."""

    def __init__(self, worker: BaseWorker, *, heartbeat_seconds: float, stale_seconds: float) -> None:
        self._worker = worker
        self._client: Any = worker.connection
        self._keep_book = self._client.register_script(scripts.KEEP_BOOK)
        self._remove = self._client.register_script(scripts.REMOVE)
        self._maintain = self._client.register_script(scripts.MAINTAIN)
        self._ttl_seconds = max(_SHORTEST_TTL_SECONDS, int(heartbeat_seconds * _HEARTBEATS_A_TTL))
        self._stale_seconds = stale_seconds
        self._lock_seconds = max(1, int(heartbeat_seconds) - 1)

    def write(self, page: Page, running: Sequence[Delivery], counts: Counts, *, beats: bool, suspended: bool) -> bool:
        """Write a page; `beats`: and that everything in `running` still runs.

        Returns False where the worker had to be entered anew: then what runs has to be entered, too.
        """
        fields = self._fields(running, counts, suspended=suspended)
        if page.removed:
            self._remove(args=[part for one in page.removed for part in (queue_key(one.queue), one.raw_id)])
        book = {
            "worker": self._worker.name,
            "time": time.time(),
            "ttl": self._ttl_seconds,
            "fields": fields,
            "returned": [{"queue": one.queue, "id": one.rq_id} for one in reversed(page.returned)],
            "ended": [_as_ended(one) for one in page.ended],
            "running": [_as_running(one) for one in (running if beats else page.started.values())],
        }
        registered, failure = self._keep_book(keys=[self._worker.key], args=[json.dumps(book)])
        if failure:
            # Not tried again: heartbeats and maintenance mend what they can, and the database needs none of it.
            extra = {"action": "bookkeeping_failed"}
            _log.warning("Redis refused a part of what runs here: %s", failure.decode(errors="replace"), extra=extra)
        if not registered:
            self._register(fields)
        self._rebuild([one for one in page.started.values() if not one.has_payload] if registered else running)
        return bool(registered)

    def maintain(self) -> None:
        """Clean up after workers that were killed, at most once for all workers in a heartbeat's time."""
        forgotten, returned = self._maintain(
            keys=[MAINTENANCE_LOCK], args=[self._lock_seconds, self._stale_seconds, *self._worker.queue_names()]
        )
        if forgotten or returned:
            extra = {"action": "leftovers_cleaned", "forgotten": forgotten, "returned": returned}
            _log.info("Cleaned up what a killed worker left in Redis", extra=extra)

    def sign_off(self) -> None:
        """Take the worker out of RQ's lists."""
        self._worker.register_death()  # type: ignore[no-untyped-call]  # as RQ wrote it

    def _register(self, fields: dict[str, Any]) -> None:
        """Enter the worker anew, at its start and after a Redis that came back empty."""
        self._worker.ip_address = str(self._client.client_info().get("addr", "unknown"))
        self._worker.last_heartbeat = datetime.now(UTC)
        self._worker.birth_date = self._worker.birth_date or self._worker.last_heartbeat
        with self._client.pipeline() as pipeline:
            pipeline.hset(self._worker.key, mapping={**self._worker.serialize(), **fields})
            worker_registration.register(self._worker, pipeline)
            pipeline.expire(self._worker.key, self._ttl_seconds)
            pipeline.execute()

    def _rebuild(self, deliveries: Sequence[Delivery]) -> None:
        """Write the traces of deliveries again that Redis has lost."""
        if not deliveries:
            return
        with self._client.pipeline() as pipeline:
            for one in deliveries:
                self._trace(one).save(pipeline=pipeline)
            pipeline.execute()

    def _trace(self, delivery: Delivery) -> RqJob:
        function, arguments = (RUN_JOB, [delivery.job_id]) if delivery.job_id else (FIRE_SCHEDULES, [])
        trace = RqJob.create(
            function,
            args=arguments,
            id=delivery.rq_id,
            connection=self._client,
            serializer=JSONSerializer,
            origin=delivery.queue,
            timeout=-1,
            result_ttl=RESULT_TTL_SECONDS,
            failure_ttl=FAILURE_TTL_SECONDS,
            description=f"job {delivery.job_id}" if delivery.job_id else "schedules",
            status=JobStatus.STARTED,
        )
        trace.worker_name = self._worker.name
        return trace

    def _fields(self, running: Sequence[Delivery], counts: Counts, *, suspended: bool) -> dict[str, Any]:
        state = "suspended" if suspended else "busy" if running else "idle"
        return {
            "state": state,
            "running": len(running),
            "last_heartbeat": utcformat(datetime.now(UTC)),
            # Totals, not increments: to write them twice is to write them once.
            "successful_job_count": counts.successful,
            "failed_job_count": counts.failed,
            "total_working_time": counts.working_seconds,
        }


def _as_running(delivery: Delivery) -> dict[str, Any]:
    return {
        "queue": delivery.queue,
        "id": delivery.rq_id,
        "execution": delivery.execution_id,
        "started": delivery.popped_at.timestamp(),
        "started_at": utcformat(delivery.popped_at),
    }


def _as_ended(ended: Ended) -> dict[str, Any]:
    finished = ended.outcome == "finished"
    return {
        **_as_running(ended.delivery),
        "ended": ended.at.timestamp(),
        "ended_at": utcformat(ended.at),
        "status": ended.outcome,
        "result": _RESULT_TYPES[ended.outcome],
        "registry": "finished" if finished else "failed",
        "ttl": RESULT_TTL_SECONDS if finished else FAILURE_TTL_SECONDS,
    }
