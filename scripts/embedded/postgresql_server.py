"""A real PostgreSQL of our own for the tests: unix socket only, its data in a short temporary folder."""

import os
import pwd
import shutil
import signal
import tempfile
from pathlib import Path

import psycopg

from generation_service.errors import ConfigurationError
from scripts.embedded.children import Child, Program, tail
from scripts.embedded.postgresql_programs import PostgresPrograms, account_for_server
from scripts.embedded.waiting import wait_until

USER = "generation"
_INITDB_SECONDS = 120.0
_START_SECONDS = 60.0
_PREFIX = "gs-pg-"
_LONGEST = 60  # characters of the folder that ours is made in: a socket's path may have 107 bytes
_OPTIONS = {  # for tests: nothing needs to outlive a crash of the machine
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "listen_addresses": "",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_size": "128MB",
    "max_wal_senders": "0",
}
_DURABLE_OPTIONS = {name: _OPTIONS[name] for name in ("listen_addresses", "max_connections")}  # the rest as it ships


class EmbeddedPostgres:
    """A PostgreSQL server that listens on a unix socket in its own folder, and is removed when it is stopped.

    `durable`: each commit is on the disk before it is answered, as where people run one.
    """

    def __init__(self, programs: PostgresPrograms, *, durable: bool = False) -> None:
        self._programs = programs
        self._options = _DURABLE_OPTIONS if durable else _OPTIONS
        self._account = account_for_server()
        self._folder: Path | None = None
        self._child: Child | None = None

    @property
    def folder(self) -> Path:
        """Where its data, log and socket are. Raises RuntimeError when it was not started."""
        if self._folder is None:
            raise RuntimeError("this PostgreSQL was not started")
        return self._folder

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def url(self, database: str = "postgres") -> str:
        """The URL of one of its databases."""
        return f"postgresql://{USER}@/{database}?host={self.folder}"

    def start(self) -> None:
        """Make its data folder, start it, return once it answers. Raises ConfigurationError with the log's end."""
        sweep()
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=servers_folder()))
        try:
            self._begin()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it without ceremony and remove everything it wrote."""
        if self._child:
            self._child.stop(with_signal=signal.SIGQUIT)
            self._child = None
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _begin(self) -> None:
        (self.folder / "owner").write_text(f"{os.getpid()}\n", encoding="ascii")
        if self._account:
            entry = pwd.getpwnam(self._account)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            self._programs = self._programs.reachable_by(self._account, self.folder)
        self._initialise()
        log = self.folder / "log"
        command = [str(self._programs.postgres), "-D", str(self.folder / "data"), "-k", str(self.folder)]
        options = [part for name, value in self._options.items() for part in ("-c", f"{name}={value}")]
        self._child = child = Child(self._program([*command, *options], log))
        wait_until(lambda: not child.alive or self._answers(), _START_SECONDS)
        if not child.alive or not self._answers():
            raise ConfigurationError(f"PostgreSQL did not start; its log ends with:\n{tail(log)}")

    def _initialise(self) -> None:
        done = self._program(
            [
                *(str(self._programs.initdb), "-D", str(self.folder / "data"), "-U", USER, "-A", "trust"),
                *("--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
            ],
        ).run(_INITDB_SECONDS)
        if done.returncode != 0:
            raise ConfigurationError(f"initdb failed:\n{done.stdout}")

    def _program(self, command: list[str], log: Path | None = None) -> Program:
        return Program(
            command=command,
            environment={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            folder=self.folder,
            log=log,
            account=self._account,
            on_orphaned=signal.SIGQUIT,
        )

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def sweep() -> None:
    """Remove what sessions that were killed have left: folders whose owner is no more."""
    for folder in servers_folder().glob(f"{_PREFIX}*"):
        try:
            owner = int((folder / "owner").read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue  # somebody else's, or being made just now
        if not Path(f"/proc/{owner}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def servers_folder() -> Path:
    """Where temporary folders are made (TMPDIR); /tmp if a socket's path would be too long or no program may run."""
    usual = Path(tempfile.gettempdir())
    if len(str(usual)) > _LONGEST or os.statvfs(usual).f_flag & os.ST_NOEXEC:
        return Path("/tmp")  # noqa: S108 - ours are made by mkdtemp
    return usual
