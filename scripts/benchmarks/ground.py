"""The ground of a benchmark: a temporary place with real servers, all of them ended at the end."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Self

import psutil

from scripts.benchmarks.databases import Databases
from scripts.benchmarks.service import CHECKOUT, Service
from scripts.embedded.children import Program
from scripts.embedded.redis_server import EmbeddedRedis
from workers.redis_connection import connect

ENGINES = ("sqlite", "postgresql")
_PREFIX = "gs-bench-"
_REDIS_SECONDS = 10.0


class Ground:
    """A folder, a Redis and databases of our own; a context. Everything started here ends with it.

    `rounds` is how often a row measures each figure (a row of much work may take fewer, never none).
    """

    def __init__(
        self, *, engines: Sequence[str] = ENGINES, rounds: int = 3, said: Callable[[str], None] | None = None
    ) -> None:
        self.engines = tuple(engines)
        self.rounds = rounds
        self._said = said
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            sweep()
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
            (self.folder / "owner").write_text(f"{os.getpid()}\n", encoding="ascii")
            opened.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.redis = EmbeddedRedis(self.folder / "redis")
            opened.callback(self.redis.kill)
            self.redis.start()
            self.databases = Databases(self.folder)
            opened.callback(self.databases.close)
            self._stack = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def redis_url(self) -> str:
        """A real redis-server that nobody else uses; empty until a row has used it."""
        return self.redis.url

    def empty_redis(self) -> None:
        """Forget everything that is in the Redis."""
        client = connect(self.redis_url, timeout_seconds=_REDIS_SECONDS)
        try:
            client.flushall()
        finally:
            client.close()

    def database(self, engine: str) -> AbstractContextManager[str]:
        """The URL of a fresh, migrated database of `engine` on a server that writes to the disk at each commit.

        Raises ConfigurationError where its server is not to be had: a row says that as `missing`.
        """
        return self.databases.fresh(engine)

    def empty_postgresql(self) -> AbstractContextManager[str]:
        """The URL of a PostgreSQL database without a table, on the same server: for peers that make their own."""
        return self.databases.empty_postgresql()

    @contextmanager
    def service(self, database_url: str, **settings: str) -> Iterator[Service]:
        """The service on this database and the (emptied) Redis; `settings` are variables of its environment."""
        self.empty_redis()
        folder = Path(tempfile.mkdtemp(prefix="service-", dir=self.folder))
        service = Service(folder, {"DATABASE_URL": database_url, "REDIS_URL": self.redis_url, **settings})
        try:
            yield service
        finally:
            service.close()

    def module(self, name: str, *arguments: str) -> Program:
        """How to run a module of this project as a program of its own."""
        environment = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(self.folder), "PYTHONPATH": str(CHECKOUT)}
        command = [sys.executable, "-m", name, *arguments]
        log = self.folder / f"{name.rpartition('.')[2]}.log"
        return Program(
            command=command, environment=environment, folder=self.folder, log=log, on_orphaned=signal.SIGKILL
        )

    def tells(self, said: Callable[[str], None]) -> None:
        """Have what is said told to somebody else from now on."""
        self._said = said

    def say(self, message: str) -> None:
        """Tell whoever watches how far it is."""
        if self._said:
            self._said(message)


def sweep() -> None:
    """Remove what runs that were killed have left: folders whose owner is no more (their servers ended with it)."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            owner = int((folder / "owner").read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue  # somebody else's, or being made just now
        if not psutil.pid_exists(owner):
            shutil.rmtree(folder, ignore_errors=True)
