"""The worker adapter: the only reader of the feature flag, and the one door to either backend."""

from collections.abc import Iterable, Mapping

from generation_service.jobs.model import Backend
from generation_service.jobs.ports import Deliverable, DeliveryBackend
from generation_service.jobs.routing import rollout_of
from generation_service.settings import Settings
from generation_service.switching.mode import Flag


class WorkerAdapter:
    """Implements `ports.Delivery`: each job goes to the backend that its row names, never to the mode's."""

    def __init__(self, settings: Settings, backends: Mapping[Backend, DeliveryBackend]) -> None:
        self._settings = settings
        self._backends = backends

    @property
    def flag(self) -> Flag:
        """What this process's environment says; the mode's row says what is in force."""
        settings = self._settings
        rollout = rollout_of(settings.durable_worker_rollout_percent, settings.durable_worker_projects)
        return Flag(settings.use_durable_worker, settings.worker_system_enabled, rollout)

    def deliver(self, jobs: Iterable[Deliverable]) -> None:
        """Tell the backends that these jobs wait; returns at once, never raises. Recovery finds what gets lost."""
        waiting = list(jobs)
        for name, backend in self._backends.items():
            mine = [job for job in waiting if job.backend == name]
            if mine:
                backend.deliver(mine)
