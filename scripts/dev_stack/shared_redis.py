"""The Redis of a stack: the one that the settings name, or one of our own that belongs to the database.

Two stacks on one database share it, and when the one that started it ends the other takes it over on
the same port: they are one service. Stacks on different databases never share one, because each
would find the other's job ids.
"""

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from redis.exceptions import RedisError

from generation_service.errors import ConfigurationError
from generation_service.settings import Settings
from generation_service.texts import Language, text
from scripts.dev_stack.places import HeldLock
from scripts.embedded.ports import LOOPBACK, is_taken
from scripts.embedded.redis_server import EmbeddedRedis
from scripts.embedded.waiting import wait_until
from workers.redis_connection import connect

_GIVEN_BY = frozenset({"redis_url", "redis_host", "redis_port"})
_USUAL_PORT = 6379
_ANSWER_SECONDS = 1.0
_OTHER_STARTS_SECONDS = 20.0
_DEFAULT_DATABASE = Settings.model_fields["database_url"].default


class SharedRedis:
    """Sees to it that a Redis answers at `url`. Call `ensure` at the start and from time to time."""

    def __init__(self, settings: Settings, var: Path, language: Language) -> None:
        self._named = bool(settings.model_fields_set & _GIVEN_BY)
        name = f"redis-{_port_of(settings)}" if self._named else _name_for(settings.database_url)
        self._settings = settings
        self._language = language
        self._folder = var / name
        self._lock_file = var / "run" / f"{name}.lock"
        self._port_file = self._folder / "port"
        self._log = var / "log" / f"{name}.log"
        self._pid_file = var / "run" / f"{name}.pid"
        self._lock: HeldLock | None = None
        self._server: EmbeddedRedis | None = None
        self._port: int | None = None  # of our own or of the stack that we share with; None: another's server

    @property
    def shown_url(self) -> str:
        """The URL without what may be secret in it."""
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"

    @property
    def url(self) -> str:
        if self._port is None:
            return self._settings.redis_address
        return f"redis://{LOOPBACK}:{self._port}/{self._settings.redis_db}"

    def start(self) -> None:
        """Find it or start it. Raises ConfigurationError where there can be none."""
        if self._named and self._answers(self._settings.redis_address):
            return
        if self._named and not self._is_local():
            raise ConfigurationError(text("dev_stack.no_redis_there", self._language))
        self._lock = HeldLock.take(self._lock_file)
        if self._lock:
            self._start_own(self._remembered_port())
        elif not wait_until(self._shares, _OTHER_STARTS_SECONDS, pause_seconds=0.1):
            raise ConfigurationError(text("dev_stack.no_shared_redis", self._language))

    def ensure(self) -> bool:
        """Start our own again where it died, or take over a shared one whose stack ended; whether that was needed."""
        if self._port is None or (self._server and self._server.alive):
            return False
        self._lock = self._lock or HeldLock.take(self._lock_file)
        if self._lock is None:
            return False
        self._start_own(self._port)
        return True

    def stop(self) -> None:
        """End the server of our own; one that is shared with its owner alive goes on."""
        if self._server:
            self._server.stop()
            self._server = None
        if self._lock:
            self._pid_file.unlink(missing_ok=True)
            self._lock.release()
            self._lock = None

    def _start_own(self, preferred: int | None) -> None:
        wanted = self._free_port(preferred)
        try:
            self._server = self._started_on(wanted)
        except ConfigurationError:
            if self._named or self._port or not is_taken(wanted):
                raise
            self._server = self._started_on(0)  # another stack that starts at the same moment was faster
        self._port = self._server.port
        self._port_file.write_text(f"{self._port}\n", encoding="ascii")

    def _started_on(self, port: int) -> EmbeddedRedis:
        server = EmbeddedRedis(
            self._folder,
            port=port,
            durable=True,
            database=self._settings.redis_db,
            log=self._log,
            pid_file=self._pid_file,
        )
        server.start()
        return server

    def _free_port(self, preferred: int | None) -> int:
        """The port asked for; else the one it had, the usual one, or any (0)."""
        if self._named or self._port:
            return self._port or _port_of(self._settings)
        return next((port for port in (preferred, _USUAL_PORT) if port and not is_taken(port)), 0)

    def _shares(self) -> bool:
        """Whether the Redis that another stack has started answers; notes its port."""
        self._port = self._remembered_port()
        return self._port is not None and self._answers(self.url)

    def _remembered_port(self) -> int | None:
        try:
            return int(self._port_file.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return None

    def _answers(self, url: str) -> bool:
        client = connect(url, timeout_seconds=_ANSWER_SECONDS)
        try:
            return bool(client.ping())
        except RedisError:
            return False
        finally:
            client.close()

    def _is_local(self) -> bool:
        return urlsplit(self._settings.redis_address).hostname in {"localhost", LOOPBACK}


def _port_of(settings: Settings) -> int:
    try:
        port = urlsplit(settings.redis_address).port
    except ValueError:  # several hosts of sentinels: none of ours
        port = None
    return port or _USUAL_PORT


def _name_for(database_url: str) -> str:
    if database_url == _DEFAULT_DATABASE:
        return "redis"
    return f"redis-{hashlib.sha256(database_url.encode()).hexdigest()[:8]}"
