"""Builds what runs, rescues and wakes jobs, and the kinds of jobs there are; a part of the composition root."""

from collections.abc import Mapping
from functools import partial

from generation_service.bootstrap_documents import Library, program_kinds
from generation_service.bootstrap_operations import Role, Shared
from generation_service.database import Database
from generation_service.documents import DocumentKind
from generation_service.jobs.execution import Executor, Limits
from generation_service.jobs.heartbeat import Heartbeat
from generation_service.jobs.model import Backend
from generation_service.jobs.ports import DeliveryBackend, JobKind, RunListener
from generation_service.jobs.pruning import PruneKind
from generation_service.jobs.recovery import Pace, Recovery
from generation_service.jobs.retries import RetryPolicy
from generation_service.jobs.signs import waits_for
from generation_service.jobs.submission import Admission
from generation_service.llm import LanguageModel
from generation_service.pipeline.kind import GenerationKind, Tools
from generation_service.retrieval import ReindexKind
from generation_service.search import SearchProvider
from generation_service.settings import Settings
from generation_service.switching.canary import CanaryKind
from generation_service.wakeups import Fanout, open_wakeups
from workers.background_adapter import VERIFICATION_PROJECT, BackgroundRunner
from workers.redis_connection import connect


def build_executor(shared: Shared, heartbeat: Heartbeat, listener: RunListener) -> Executor:
    """What runs a claimed job."""
    settings = shared.settings
    return Executor(
        process=shared.process,
        database=shared.database,
        kinds=shared.kinds,
        heartbeat=heartbeat,
        limits=Limits(
            lease_seconds=settings.job_lease_seconds,
            run_seconds=settings.job_timeout_seconds,
            step_seconds=settings.step_timeout_seconds,
        ),
        policy=_policy(settings),
        wakeups=shared.wakeups,
        listener=listener,
    )


def build_background(shared: Shared, executor: Executor, heartbeat: Heartbeat) -> BackgroundRunner:
    """What runs jobs in this process; only an API asks whether any wait for it."""
    return BackgroundRunner(
        executor=executor,
        heartbeat=heartbeat,
        capacity=shared.settings.background_max_concurrency,
        reserved_for=VERIFICATION_PROJECT,
        waiting=shared.signs.add(waits_for(BackgroundRunner.backend)) if shared.role == "api" else None,
    )


def build_recovery(shared: Shared, backends: Mapping[Backend, DeliveryBackend]) -> Recovery:
    """What rescues and delivers."""
    settings = shared.settings
    return Recovery(
        process=shared.process,
        database=shared.database,
        kinds=shared.kinds,
        policy=_policy(settings),
        backends=backends,
        wakeups=shared.wakeups,
        pace=Pace(
            interval_seconds=settings.recovery_interval_seconds,
            redelivery_seconds=settings.redelivery_seconds,
            lease_seconds=settings.job_lease_seconds,
        ),
        signs=shared.signs,
    )


def build_wakeups(settings: Settings, database: Database, role: Role) -> Fanout:
    """What wakes readers in other processes; with the RQ part off, Redis is left alone."""
    connect_redis = partial(connect, settings.redis_address, timeout_seconds=settings.redis_timeout_seconds)
    return open_wakeups(database, connect_redis if settings.worker_system_enabled else None, listens=role == "api")


def build_kinds(
    settings: Settings, database: Database, library: Library, model: LanguageModel, search: SearchProvider
) -> dict[str, JobKind]:
    """Every kind of job, by its name."""
    tools = Tools(
        database=database,
        model=model,
        search=search,
        ingester=library.ingester,
        indexer=library.indexer,
        retriever=library.retriever,
        max_output_tokens=settings.llm_max_output_tokens,
    )
    pruning = PruneKind(
        database=database,
        retention_days=settings.job_retention_days,
        key_retention_hours=settings.idempotency_retention_hours,
    )
    kinds: list[JobKind] = [GenerationKind(tools), DocumentKind(database, library.reading), pruning, CanaryKind()]
    kinds += [ReindexKind(database, library.embedder), *program_kinds(settings, database, library)]
    return {kind.kind: kind for kind in kinds}


def _policy(settings: Settings) -> RetryPolicy:
    return RetryPolicy(base_seconds=settings.retry_base_seconds, max_seconds=settings.retry_max_seconds)


def admission_of(settings: Settings) -> Admission:
    """How much may be live at once."""
    return Admission(
        max_live=settings.max_live_jobs,
        max_live_per_user=settings.max_live_jobs_per_user,
        max_attempts=settings.max_attempts,
        largest_batch=settings.max_program_files,
    )
