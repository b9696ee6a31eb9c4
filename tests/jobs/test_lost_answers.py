"""The answer to a COMMIT can be lost: the run looks up its own row, and neither repeats nor forgets anything."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs.model import Usage
from generation_service.jobs.ports import StepOutcome, StepRun
from tests.support.toy import Core, ToyKind


class Flaky:
    """Loses answers of a database: of the `nth` write, after its commit or before."""

    def __init__(self, database: Database, nth: int, *, committed: bool) -> None:
        self._write = database.write_now
        self._nth, self._committed, self._seen = nth, committed, 0
        self.lost = False

    def __call__(self, unit: Callable[[Connection], Any]) -> Any:
        self._seen += 1
        if self._seen != self._nth:
            return self._write(unit)
        self.lost = True
        if self._committed:
            self._write(unit)
        raise DatabaseUnavailable("the answer was lost")


async def pays(run: StepRun) -> StepOutcome:
    run.spend(Usage(input_tokens=1, output_tokens=1, model="m"))
    await run.token("text")
    await run._flush  # so that it is committed in the course of the step
    await run.token("more")
    return StepOutcome(output={"step": run.step})


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize("nth", range(1, 9))
async def test_whichever_answer_is_lost_every_step_runs_once_and_events_have_no_gap(
    database: Database, monkeypatch: pytest.MonkeyPatch, nth: int, *, committed: bool
) -> None:
    """Writes of a run: 1 claim, 2 and 5 starts of steps, 3 and 6 texts, 4 and 7 commits, 8 the ending."""
    core = Core(database, ToyKind({"one": pays, "two": pays}))
    job = await core.submit()
    flaky = Flaky(database, nth, committed=committed)
    monkeypatch.setattr(database, "write_now", flaky)

    job = await core.run(job)
    if job.status == "pending":  # the claim was not committed, so the delivery came to nothing
        assert (nth, committed) == (1, False)
        job = await core.run(job)

    assert flaky.lost
    assert (job.status, job.input_tokens, job.output_tokens) == ("completed", 2, 2)
    assert [step.runs for step in core.kind.toy_steps.values()] == [1, 1]
    events = await core.events(job.id)
    assert [data["sequence"] for _, data in events] == list(range(1, len(events) + 1))
    assert [kind for kind, _ in events].count("completed") == 1
    assert [data["step"] for kind, data in events if kind == "step" and data["status"] == "completed"] == ["one", "two"]
    assert sum(kind == "token" for kind, _ in events) == 4
