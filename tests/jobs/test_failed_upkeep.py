"""Jobs that the service gives itself: one that fails for good is told, as nobody waits for its answer."""

from collections.abc import Callable

import pytest
from sqlalchemy import select

from generation_service.database import Database
from generation_service.database.tables import alerts
from generation_service.errors import PermanentError
from generation_service.jobs.ports import JobKind, StepRun
from generation_service.jobs.pruning import PruneKind
from generation_service.programs import ProgramRetriesKind, RetryRules
from generation_service.retrieval import ReindexKind
from generation_service.settings import Settings
from tests.support.toy import Core

KINDS: dict[str, Callable[[Database, Settings], JobKind]] = {
    "prune": lambda database, _: PruneKind(database=database, retention_days=1, key_retention_hours=1),
    "program_retries": lambda database, settings: ProgramRetriesKind(database, RetryRules.of(settings)),
    "reindex": lambda database, _: ReindexKind(database, None),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", ["failed", "completed"])
async def test_one_that_fails_for_good_is_told(
    database: Database, settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, kind: str, status: str
) -> None:
    async def fail(*_: StepRun) -> None:
        raise PermanentError("broken", "no retry can mend this")

    core = Core(database, KINDS[kind](database, settings_for()))
    job = await core.submit()
    if status == "failed":
        (step,) = core.kind.steps(job)
        monkeypatch.setattr(step, "run", fail)
    ended = await core.run(job)

    told = database.read_now(lambda connection: connection.execute(select(alerts.c.type, alerts.c.subject)).all())
    assert ended.status == status
    assert [tuple(one) for one in told] == ([("job_failed", job.id)] if status == "failed" else [])
