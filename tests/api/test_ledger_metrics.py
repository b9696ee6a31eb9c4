"""What the ledger finds is there for Prometheus."""

from sqlalchemy import delete

from generation_service.database.tables import jobs
from tests.api.conftest import Api


async def test_a_loss_shows_in_the_metrics(api: Api) -> None:
    job = await api.runtime.core.submit()
    await api.runtime.database.write(lambda connection: connection.execute(delete(jobs).where(jobs.c.id == job.id)))

    told = (await api.http.get("/metrics")).text.splitlines()

    assert "generation_ledger_lost 1.0" in told
    assert {"generation_ledger_duplicated 0.0", "generation_ledger_unexplained 0.0"} <= set(told)
