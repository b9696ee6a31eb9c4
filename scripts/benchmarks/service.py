"""The service under measurement: its processes on a given database and Redis, and its parts in this process."""

import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from generation_service.bootstrap import Runtime, build
from generation_service.database import Database
from generation_service.settings import Settings
from generation_service.switching.mode import environment_says
from generation_service.switching.processes import alive
from scripts.benchmarks.running import Running
from scripts.embedded.children import Program
from scripts.embedded.ports import free_port

_READY_SECONDS = 60.0
_PAUSE_SECONDS = 0.02
_ENTRY = Path(sys.executable).with_name("generation-service")
CHECKOUT = Path(__file__).resolve().parents[2]  # what is measured is this code, wherever another may be installed
_AS_MEASURED = {  # what a row does not say itself
    "USE_DURABLE_WORKER": "true",
    "MAX_LIVE_JOBS": "10000000",
    "MAX_LIVE_JOBS_PER_USER": "10000000",
    "ROLLBACK_ON_MEMORY_PERCENT": "0",  # the machine's memory is not what is measured
    "SHUTDOWN_GRACE_SECONDS": "1",
    "LOG_FORMAT": "json",
}


class NotReady(RuntimeError):
    """A process of the service did not come up, or ended; with the end of its log."""


class _Given(Settings):
    """Settings that come from their constructor alone, never from this machine's environment or `.env`."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic names the parameters
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


class Service:
    """Starts processes of the service in `folder`; `variables` are what a row says of their environment."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        port = str(free_port())
        self.variables = {**_AS_MEASURED, "STORAGE_URL": str(folder / "objects"), "PORT": port, **variables}
        self.url = f"http://127.0.0.1:{self.variables['PORT']}"
        given = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(folder), "PYTHONPATH": str(CHECKOUT)}
        self.environment = {**given, **self.variables}
        self.processes: list[Running] = []

    def settings(self) -> Settings:
        """The settings of its processes, for parts that run in this one."""
        given: dict[str, Any] = {name.lower(): value for name, value in self.variables.items()}
        return _Given(**given)

    @asynccontextmanager
    async def runtime(self) -> AsyncIterator[Runtime]:
        """The parts of the service in this process, as a tool has them; the mode is what the environment says."""
        async with build(self.settings(), "tool").running() as runtime:
            await runtime.database.write(
                lambda connection: environment_says(connection, runtime.adapter.flag, host="benchmark", role="api")
            )
            yield runtime

    def api(self, *options: str) -> Running:
        """An API process (below its supervisor), once it answers. Raises NotReady."""
        running = self.start("serve", *options)
        self.until(running, self._answers)
        return running

    def worker(self, *options: str) -> Running:
        """A worker, once it takes jobs. Raises NotReady."""
        running = self.start("worker", *options)
        database = Database(self.settings().database_url)
        try:
            self.until(running, lambda: _serves(database, running))
        finally:
            database.close()
        return running

    def start(self, *command: str) -> Running:
        """Start `generation-service COMMAND...` and do not wait for it."""
        running = Running(
            Program(
                command=[str(_ENTRY), *command],
                environment=self.environment,
                folder=self.folder,
                log=self.folder / f"{command[0]}-{len(self.processes) + 1}.log",
                on_orphaned=signal.SIGKILL,
            ),
            command[0],
        )
        self.processes.append(running)
        return running

    def until(self, running: Running, condition: Callable[[], bool], seconds: float = _READY_SECONDS) -> None:
        """Wait until `condition` holds while `running` lives. Raises NotReady."""
        deadline = time.monotonic() + seconds
        while not condition():
            if not running.alive or time.monotonic() > deadline:
                code = running.child.exit_code
                raise NotReady(f"{running.name} (exit code {code}), its log:\n{running.last_lines()}")
            time.sleep(_PAUSE_SECONDS)

    def close(self) -> None:
        """End every process that it started."""
        for running in self.processes:
            running.kill()

    def _answers(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/readyz", timeout=5, trust_env=False).is_success
        except httpx2.TransportError:
            return False


def _serves(database: Database, running: Running) -> bool:
    family = {one.pid for one in running.family()}
    rows = database.read_now(alive)
    return any(row.pid in family and row.state == "serving" for row in rows)
