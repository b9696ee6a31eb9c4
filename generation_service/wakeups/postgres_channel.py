"""Wakeups through PostgreSQL's LISTEN and NOTIFY, for readers in other processes where there is no Redis."""

import contextlib
import select
import socket
from typing import Any

import psycopg
from sqlalchemy.engine import URL

from generation_service.wakeups.threads import (
    REST_SECONDS,
    ChannelThread,
    Hear,
    Sender,
    ThreadedChannel,
    decode,
    encode,
    new_origin,
)

CHANNEL = "generation_wakeups"
_IDS_A_MESSAGE = 180  # a payload holds less than 8000 bytes
_CONNECT_SECONDS = 5
_EXPECTED = (psycopg.Error, OSError)


class PostgresWakeups(ThreadedChannel):
    """One channel for all jobs, over connections of its own. `hear` None: this process only sends.

    A NOTIFY inside the transactions that write events would make their commits take turns, so it is sent after them.
    """

    def __init__(self, url: URL, hear: Hear | None = None) -> None:
        conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
        origin = new_origin()
        listener = _PostgresListener(conninfo, origin, hear) if hear else None
        super().__init__(_PostgresSender(conninfo, origin), listener)


class _PostgresSender(Sender):
    def __init__(self, conninfo: str, origin: str) -> None:
        super().__init__("wakeups-postgres-send", _EXPECTED, spacing_seconds=0.02)
        self._conninfo, self._origin = conninfo, origin
        self._connection: psycopg.Connection | None = None

    def send(self, job_ids: list[str]) -> None:
        self._connection = self._connection or _connect(self._conninfo)
        for start in range(0, len(job_ids), _IDS_A_MESSAGE):
            message = encode(self._origin, job_ids[start : start + _IDS_A_MESSAGE])
            self._connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, message))

    def disconnect(self) -> None:
        connection, self._connection = self._connection, None
        _close(connection)


class _PostgresListener(ChannelThread):
    def __init__(self, conninfo: str, origin: str, hear: Hear) -> None:
        super().__init__("wakeups-postgres-listen", _EXPECTED)
        self._conninfo, self._origin, self._hear = conninfo, origin, hear
        self._connection: psycopg.Connection | None = None
        self._waking: socket.socket | None = None

    def start(self) -> None:
        """As ChannelThread."""
        self._woken, self._waking = socket.socketpair()
        super().start()

    def stop(self) -> None:
        """As ChannelThread, without waiting for news."""
        self.stopping.set()
        if self._waking is None:
            return
        self._waking.send(b"\0")
        super().stop()
        self._waking.close()
        self._woken.close()

    def turn(self) -> None:
        if self._connection is None:
            self._connection = _connect(self._conninfo)
            self._connection.execute(f"LISTEN {CHANNEL}")
        for notice in self._connection.notifies(timeout=0):
            self._hear(decode(notice.payload, self._origin))
        if not self.stopping.is_set():
            # Not in `notifies`: to be noticed, a stop would need it to look up several times a second.
            waits: list[Any] = [self._connection, self._woken]
            select.select(waits, [], [], REST_SECONDS)

    def disconnect(self) -> None:
        connection, self._connection = self._connection, None
        _close(connection)


def _connect(conninfo: str) -> psycopg.Connection:
    return psycopg.connect(
        conninfo, autocommit=True, connect_timeout=_CONNECT_SECONDS, application_name="generation-service wakeups"
    )


def _close(connection: psycopg.Connection | None) -> None:
    if connection is not None:
        with contextlib.suppress(*_EXPECTED):  # it is being thrown away because it does not work
            connection.close()
