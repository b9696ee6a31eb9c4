"""Fills a database with jobs that have ended, and their events, by a few statements however many they are."""

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import psycopg
from sqlalchemy.engine import make_url

OWNER = "u0"
"""A user who has jobs in every past, however short."""

_DAYS = 300  # over which the jobs were accepted
_LIVE = 100  # jobs that wait, and as many that run: what is live is no larger where the past is
_USERS = 20
_JOBS_OF_A_PROJECT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """How many jobs have ended, and how many events each has."""

    jobs: int
    events: int = 10

    @property
    def step_milliseconds(self) -> int:
        """The time between the acceptance of one and of the next."""
        return max(1, _DAYS * 86_400_000 // self.jobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dialect:
    """What the two databases say differently; `{}` is filled in."""

    series: str  # 1 to {}, as g(n)
    hexadecimal: str  # {} as {} digits
    moment: str  # a time from {} milliseconds
    now: str
    json: str = ""  # a cast


_SQLITE = _Dialect(
    series="(WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < {}) SELECT n FROM g) AS g",
    hexadecimal="printf('%0{1}x', {0})",
    moment="strftime('%Y-%m-%d %H:%M:%f000', {} / 1000.0, 'unixepoch')",
    now="strftime('%Y-%m-%d %H:%M:%f000', 'now')",
)
_POSTGRESQL = _Dialect(
    series="generate_series(1::bigint, {}) AS g(n)",
    hexadecimal="lpad(to_hex({0}), {1}, '0')",
    moment="to_timestamp({} / 1000.0)",
    now="clock_timestamp()",
    json="::jsonb",
)


def fill(url: str, past: Past) -> None:
    """Add a past to a fresh database, and a few jobs that are live; counters and statistics are as they would be."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        _fill_sqlite(str(parsed.database), past)
    else:
        _fill_postgresql(parsed.set(drivername="postgresql").render_as_string(hide_password=False), past)


def _fill_sqlite(path: str, past: Past) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -200000")
        for statement in _statements(_SQLITE, past):
            connection.execute(statement)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _fill_postgresql(url: str, past: Past) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        # Neither foreign keys nor tallies are looked after row by row: the tallies are counted at the end.
        connection.execute("SET session_replication_role = replica")
        for statement in _statements(_POSTGRESQL, past):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO job_tallies SELECT status, backend, 0, count(*) FROM jobs"
            " WHERE completed_at IS NOT NULL GROUP BY status, backend"
        )
        connection.execute("VACUUM ANALYZE")


def _statements(dialect: _Dialect, past: Past) -> list[str]:
    now, step = time.time_ns() // 1_000_000, past.step_milliseconds
    has_ended = "completed_at IS NOT NULL"
    data = f"""('{{"step": "signal", "progress": 40.0, "sequence": ' || g.n || '}}'){dialect.json}"""
    event = f"id, n, CASE n WHEN {past.events} THEN status ELSE 'progress' END, {data}, created_at"
    each = dialect.series.format(past.events)
    step_columns = ("job_id", "name", "ordinal", "status", "attempt", "fence", "first_sequence")
    ended = "id, 'snapshot', 0, 'completed', 1, 1, 2, created_at, completed_at, 0, 0"
    times_and_tokens = ("started_at", "completed_at", "input_tokens", "output_tokens")
    return [
        _jobs(dialect, past.jobs, f"({now - step * (past.jobs + 1)} + n * {step})", status="ended"),
        _jobs(dialect, _LIVE, f"({now - 60_000} + n)", status="pending"),
        _jobs(dialect, _LIVE, f"({now - 30_000} + n)", status="running"),
        f"INSERT INTO events SELECT {event} FROM jobs, {each} WHERE {has_ended} ORDER BY id, n",
        "INSERT INTO events SELECT id, 1, 'status', '{}', created_at FROM jobs WHERE completed_at IS NULL",
        f"INSERT INTO steps ({', '.join(step_columns + times_and_tokens)}) SELECT {ended} FROM jobs WHERE {has_ended}",
        "INSERT INTO projects SELECT project_id, min(user_id), 0, min(created_at) FROM jobs GROUP BY project_id",
        "INSERT INTO counters SELECT 'accepted', 0, count(*) FROM jobs",
        f"INSERT INTO counters SELECT 'ended', 0, count(*) FROM jobs WHERE {has_ended}",
    ]


def _jobs(dialect: _Dialect, count: int, milliseconds: str, *, status: Literal["ended", "pending", "running"]) -> str:
    """Jobs of a few users, whose ids are as ours: their time first."""
    stamp, number = dialect.hexadecimal.format(milliseconds, 12), dialect.hexadecimal.format("n", 12)
    made = dialect.moment.format(milliseconds)
    project = f"n / {_JOBS_OF_A_PROJECT}"
    values = {
        "id": f"substr({stamp}, 1, 8) || '-' || substr({stamp}, 9, 4) || '-7000-8000-' || {number}",
        "kind": "'generation'",
        "recipe": "'script'",
        "project_id": f"'p' || ({project})",
        "user_id": f"'u' || (({project}) % {_USERS})",
        "request": f"""'{{"episode_data": {{"title": "한 편", "synopsis": "어느 저녁에 있었던 일"}}}}'{dialect.json}""",
        "backend": "'background_tasks'",
        **dict.fromkeys(("priority", "claims", "fence", "delivery", "seq"), "1"),
        **dict.fromkeys(("failures", "steps_since_claim", "progress"), "0"),
        **dict.fromkeys(("input_tokens", "output_tokens", "saved_tokens"), "0"),
        "max_attempts": "4",
        **dict.fromkeys(("created_at", "delivered_at"), made),
        **_of_status(dialect, made, status),
    }
    series = dialect.series.format(count)
    return f"INSERT INTO jobs ({', '.join(values)}) SELECT {', '.join(values.values())} FROM {series}"


def _of_status(dialect: _Dialect, made: str, status: str) -> dict[str, str]:
    if status == "ended":  # one of fifty has failed
        result = f"""'{{"episode_id": "01a1ff54-352e-7000-8000-000000000000", "episode_number": 1}}'{dialect.json}"""
        return {
            "status": "CASE n % 50 WHEN 7 THEN 'failed' ELSE 'completed' END",
            "completed_at": made,
            "result": result,
        }
    held = {"holder": "'benchmark'", "lease_until": dialect.now} if status == "running" else {}
    return {"status": f"'{status}'", **held}
