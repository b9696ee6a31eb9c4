"""`status` tells whether everything that was accepted is accounted for."""

import asyncio
import json

from sqlalchemy import delete

from generation_service.database import Database
from generation_service.database.tables import jobs
from tests.cli.commands import Commands
from tests.support.toy import Core, ToyKind, nothing


def test_status_tells_the_ledger(commands: Commands, database: Database, database_url: str, redis_url: str) -> None:
    given = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    job = asyncio.run(Core(database, ToyKind({"one": nothing})).submit())

    clean = json.loads(commands.run("status", "--json", given=given).out)["ledger"]
    database.write_now(lambda connection: connection.execute(delete(jobs).where(jobs.c.id == job.id)))

    assert (clean["clean"], clean["accepted"], clean["rq"]["redis"]) == (True, 1, "ok")
    assert "1 lost" in commands.run("status", given=given).out
