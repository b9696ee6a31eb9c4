"""A runner that pulls what waits passes over what another one is taking at the same moment."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.jobs import claims
from generation_service.jobs.claims import Claimant
from generation_service.jobs.model import JobId
from tests.support.toy import Core, ToyKind, nothing


async def test_two_runners_that_pull_at_the_same_moment_claim_no_job_twice(postgresql_database: Database) -> None:
    core = Core(postgresql_database, ToyKind({"one": nothing}))
    waiting = sorted([(await core.submit()).id for _ in range(3)])

    def pulled(connection: Connection, by: str, limit: int) -> list[JobId]:
        taken = claims.claim_waiting(
            connection, "background_tasks", Claimant(holder=by, lease_seconds=30), core.kinds, limit
        )
        return [claim.id for claim in taken]

    with ThreadPoolExecutor(1) as other_process:

        def both(connection: Connection) -> tuple[list[JobId], list[JobId]]:
            """The second runner pulls while what the first has claimed is not committed yet."""
            first = pulled(connection, "first/1", 2)
            second = other_process.submit(
                postgresql_database.write_now, lambda connection: pulled(connection, "second/1", 3)
            )
            return first, second.result()

        first, second = postgresql_database.write_now(both)

    assert (first, second) == (waiting[:2], waiting[2:])
