"""One stack: brought up in order, watched, and taken down whatever happens."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import httpx2

from generation_service.errors import ConfigurationError
from generation_service.settings import Settings
from generation_service.texts import Language, text
from scripts.dev_stack.places import Places
from scripts.dev_stack.services import Services
from scripts.dev_stack.shared_redis import SharedRedis
from scripts.embedded.ports import is_taken

SERVICES = ("api", "worker", "scheduler")
_COMMANDS = {"api": "serve", "worker": "worker", "scheduler": "scheduler"}
_READY_SECONDS = 60.0
_LOOK_SECONDS = 0.25
# Beyond what a service gives its jobs: its connections, its pools, its interpreter.
_END_SECONDS = 20.0


class Interrupts:
    """Ctrl+C, SIGTERM and SIGHUP as a flag that can be waited for; a second one asks to hurry."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self.count = 0

    def listen(self) -> None:
        """Take over these signals (main thread only)."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    @property
    def hurry(self) -> bool:
        """Whether it was asked more than once."""
        return self.count > 1

    def wait(self, seconds: float) -> bool:
        """Wait, but no longer than until it is asked; whether it was."""
        return self._asked.wait(seconds)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self._asked.set()


class Stack:
    """Redis, API, worker and scheduler on one machine; they run in `root` and keep their files below `var`."""

    def __init__(self, settings: Settings, root: Path, var: Path, language: Language, interrupts: Interrupts) -> None:
        self.settings = settings
        self.language = language
        self.interrupts = interrupts
        self.root = root
        self.var = var
        self.redis = SharedRedis(settings, self.var, language)
        self._with_redis = settings.worker_system_enabled  # false: no part of RQ is used at all

    def say(self, key: str, **params: object) -> None:
        """One line to the terminal."""
        print(text(f"dev_stack.{key}", self.language, **params), file=sys.stderr, flush=True)  # noqa: T201 - a terminal

    @contextmanager
    def up(self, environment: dict[str, str]) -> Iterator[Services]:
        """Everything running while the context lasts. Raises ConfigurationError with the line that says why not."""
        places = Places.take(self.var, self.settings.port, self.language)
        try:
            yield from self._with_services(places, environment)
        finally:
            self.redis.stop()
            places.forget("stack")
            places.release()

    def keep(self, services: Services) -> None:
        """Start again what died; called over and over while the stack is up."""
        if self.redis.ensure():
            self.say("redis_started_again")
        services.ensure()

    def watch(self, services: Services) -> None:
        """Keep everything running until Ctrl+C."""
        while not self.interrupts.wait(_LOOK_SECONDS):
            self.keep(services)

    def _with_services(self, places: Places, environment: dict[str, str]) -> Iterator[Services]:
        stale = places.sweep(("stack", *SERVICES), self.root)
        if stale:
            self.say("stale_pid_files", names=", ".join(f"{places.pid_file(name).name}" for name in stale))
        if is_taken(self.settings.port, self.settings.host):
            raise ConfigurationError(text("dev_stack.port_taken", self.language, port=self.settings.port))
        self.say("starting", port=self.settings.port)
        places.remember("stack", os.getpid())
        if self._with_redis:
            self.redis.start()
        services = Services(
            {name: self.command(command) for name, command in _COMMANDS.items() if self._with_redis or name == "api"},
            environment=environment | {"REDIS_URL": self.redis.url},
            folder=self.root,
            places=places,
            died=lambda name, code, pause: self.say(
                "died", name=name, code=code, pause=f"{pause:g}", log=self.shown(places.log(name))
            ),
        )
        try:
            services.start()
            self._wait_until_ready(services, places)
            yield services
        finally:
            self.say("stopping")
            for name in services.stop(
                self.settings.shutdown_grace_seconds + _END_SECONDS, lambda: self.interrupts.hurry
            ):
                self.say("killed", name=name)

    def _wait_until_ready(self, services: Services, places: Places) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not answers(f"{self.settings.api_address}/readyz"):
            dead = services.dead()
            if dead or time.monotonic() > deadline:
                name = dead or "api"
                log, words = self.shown(places.log(name)), services.last_words(name)
                raise ConfigurationError(
                    text("dev_stack.did_not_start", self.language, name=name, log=log, words=words)
                )
            if self.interrupts.wait(0.1):
                raise KeyboardInterrupt

    def shown(self, path: Path) -> Path:
        """A path as people want to read it: from the checkout on."""
        return path.relative_to(self.root) if path.is_relative_to(self.root) else path

    def command(self, *arguments: str) -> list[str]:
        """A command of the service, as installed beside this interpreter."""
        return [str(Path(sys.executable).with_name("generation-service")), *arguments]


def answers(url: str) -> bool:
    """Whether a GET of `url` (on this machine: no proxy is asked) is answered with success."""
    try:
        return httpx2.get(url, timeout=2, trust_env=False).is_success
    except httpx2.TransportError:
        return False
