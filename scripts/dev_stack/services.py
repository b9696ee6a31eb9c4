"""The processes of a stack: started together, started again when they die, ended together within a bounded time."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.dev_stack.places import Places
from scripts.embedded.children import Child, Program

_LONGEST_PAUSE_SECONDS = 30.0
_LARGEST_LOG_BYTES = 20 * 1024 * 1024
_STEADY_SECONDS = 60.0  # one that ran this long has earned a quick start after its next death


@dataclass(slots=True)
class Service:
    """One command that is kept running."""

    name: str
    command: Sequence[str]
    child: Child | None = None
    deaths: int = 0
    started_at: float = 0.0
    next_start: float = 0.0


class Services:
    """The services of one stack. `died(name, exit code, pause in seconds)` is told of each death."""

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        *,
        environment: Mapping[str, str],
        folder: Path,
        places: Places,
        died: Callable[[str, int, float], None],
    ) -> None:
        self._services = [Service(name, command) for name, command in commands.items()]
        self._environment = environment
        self._folder = folder
        self._places = places
        self._died = died

    def start(self) -> None:
        """Start all of them; a log that has grown large is put aside first."""
        for service in self._services:
            _put_aside(self._places.log(service.name))
            self._start(service)

    def dead(self) -> str | None:
        """The name of one that has ended, if any has."""
        return next((one.name for one in self._services if one.child and not one.child.alive), None)

    def last_words(self, name: str) -> str:
        """The last line of a service's log since it was started."""
        return next((one.child.last_words() for one in self._services if one.name == name and one.child), "")

    def ensure(self) -> None:
        """Note who died, and start again whose pause is over."""
        now = time.monotonic()
        for service in self._services:
            if service.child and service.child.exit_code is not None:
                self._bury(service, service.child.exit_code, now)
            if service.child is None and now >= service.next_start:
                self._start(service)

    def stop(self, grace_seconds: float, hurry: Callable[[], bool]) -> list[str]:
        """Ask all to end, wait together, then kill; return who had to be killed. `hurry` cuts the waiting short."""
        deadline = time.monotonic() + grace_seconds
        running = [one for one in self._services if one.child]
        for service in running:
            if service.child:
                service.child.send(signal.SIGTERM)
        killed = [one.name for one in running if not self._ended(one, deadline, hurry)]
        for service in running:
            self._places.forget(service.name)
        return killed

    def _ended(self, service: Service, deadline: float, hurry: Callable[[], bool]) -> bool:
        child, service.child = service.child, None
        while child and child.alive and not hurry() and time.monotonic() < deadline:
            try:
                child.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        if child is None or not child.alive:
            return True
        child.kill()
        return False

    def _start(self, service: Service) -> None:
        service.child = Child(
            Program(
                command=service.command,
                environment=self._environment,
                folder=self._folder,
                log=self._places.log(service.name),
            )
        )
        service.started_at = time.monotonic()
        self._places.remember(service.name, service.child.pid)

    def _bury(self, service: Service, exit_code: int, now: float) -> None:
        if service.child:
            service.child.kill()  # what it may have left of its group
        service.child = None
        service.deaths = 1 if now - service.started_at > _STEADY_SECONDS else service.deaths + 1
        pause = min(2.0 ** (service.deaths - 1), _LONGEST_PAUSE_SECONDS)
        service.next_start = now + pause
        self._places.forget(service.name)
        self._died(service.name, exit_code, pause)


def _put_aside(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LARGEST_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
