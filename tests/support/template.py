"""What processes of the service under test are copied from: one that has imported the service and done nothing else."""

import gc
import os
from importlib import import_module

from generation_service.cli.leash import hold_on_to

# What `serve`, `worker` and the commands that tests run most import, each at its own time.
_IMPORTED = (
    "generation_service.cli",
    *(f"generation_service.cli.{name}" for name in ("serve", "worker", "scheduler", "rollback", "rollforward")),
    "generation_service.app",
    "generation_service.wakeups.postgres_channel",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
)

PID = os.getpid()

hold_on_to(os.getppid())
for _name in _IMPORTED:
    import_module(_name)
gc.collect()
gc.freeze()
