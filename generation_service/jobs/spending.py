"""Spending: what model calls cost; appended without a fence where a job was lost: money is spent whoever spent it."""

from collections.abc import Iterable, Sequence

from sqlalchemy import BigInteger, Connection, Insert, String, insert, select, update

from generation_service.database import db_now
from generation_service.database.rowsets import ROWS, Columns, built_once, rowset
from generation_service.database.tables import jobs, usage
from generation_service.jobs.ids import uuid7
from generation_service.jobs.model import Claim, Usage

_GIVEN: Columns = {
    "id": String(36),
    "job_id": String(36),
    "step": String(64),
    "fence": BigInteger(),
    "model": String(200),
    "input_tokens": BigInteger(),
    "output_tokens": BigInteger(),
}


def append(connection: Connection, claim: Claim, step: str, spent: Sequence[Usage]) -> None:
    """Append what was spent by a run that has lost its job.

    Once: a claim runs a step once, so where it has rows already, its commit (whose answer was lost) has written them.
    """
    connection.execute(select(jobs.c.id).where(jobs.c.id == claim.id).with_for_update(key_share=True))
    mine = (usage.c.job_id == claim.id, usage.c.step == step, usage.c.fence == claim.fence)
    if connection.execute(select(usage.c.id).where(*mine).limit(1)).first() is not None:
        return
    changes = sums_raised_by(spent)
    if changes:
        connection.execute(update(jobs).where(jobs.c.id == claim.id).values(**changes))
    write(connection, [(claim, step, spent)])


def write(connection: Connection, spent: Iterable[tuple[Claim, str, Sequence[Usage]]]) -> None:
    """Write what these claims have spent, each in a step; the jobs' sums are raised by whoever calls this."""
    rows = [
        {
            "id": uuid7(),
            "job_id": claim.id,
            "step": step,
            "fence": claim.fence,
            "model": one.model,
            "input_tokens": one.input_tokens,
            "output_tokens": one.output_tokens,
        }
        for claim, step, usages in spent
        for one in usages
    ]
    if rows:
        connection.execute(_insert(connection), {ROWS: rows})


@built_once
def _insert(dialect: str) -> Insert:
    return insert(usage).from_select([*_GIVEN, "created_at"], select(*rowset(dialect, _GIVEN).c, db_now()))


def sums_raised_by(spent: Sequence[Usage]) -> dict[str, object]:
    """The changes to a job's row that `spent` makes; {} where nothing was spent."""
    total = sum(spent, Usage())
    if not total.tokens:
        return {}
    return {
        "input_tokens": jobs.c.input_tokens + total.input_tokens,
        "output_tokens": jobs.c.output_tokens + total.output_tokens,
    }
