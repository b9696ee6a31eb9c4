"""`check`: say what this configuration would do and whether what it names is there, changing nothing."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import unquote, urlsplit

import click
from redis.exceptions import RedisError

from generation_service.cli.terminal import missing_sqlite_file, open_database, print_json, say
from generation_service.database import Database, schema
from generation_service.errors import ConfigurationError, ServiceError
from generation_service.jobs.routing import current_mode
from generation_service.settings import Settings, load_settings
from workers.redis_connection import connect

Verdict: TypeAlias = Literal["ok", "note", "failed"]
_SIGNS = {"ok": ("✓", "green"), "note": ("!", "yellow"), "failed": ("✗", "red")}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, whether it will do, and what was found."""

    name: str
    verdict: Verdict
    said: str


@click.command("check", help=say("help.check"))
@click.option("--json", "as_json", is_flag=True, help=say("help.json"))
def command(*, as_json: bool) -> int:
    """Exit 1 where anything has failed."""
    findings = list(findings_of_environment())
    failed = any(finding.verdict == "failed" for finding in findings)
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(finding) for finding in findings]})
        return int(failed)
    for finding in findings:
        sign, colour = _SIGNS[finding.verdict]
        click.echo(f"{click.style(sign, fg=colour)} {say('check.name.' + finding.name)}: {finding.said}")
    return int(failed)


def findings_of_environment() -> Iterator[Finding]:
    """Everything that can be said; only the settings where those do not hold."""
    try:
        settings = load_settings()
    except ConfigurationError as error:
        yield from (Finding("settings", "failed", line) for line in error.message.splitlines())
        return
    yield Finding("settings", "ok", say("check.settings"))
    for look in (_mode, _address, _database, _redis, _storage, _provider, _search):
        yield look(settings)


def _mode(settings: Settings) -> Finding:
    if not settings.worker_system_enabled:
        return Finding("mode", "ok", say("check.mode.disabled"))
    return Finding("mode", "ok", say("check.mode.rq" if settings.use_durable_worker else "check.mode.in_process"))


def _address(settings: Settings) -> Finding:
    where = {"host": settings.host, "port": settings.port}
    if settings.api_tokens:
        return Finding("address", "ok", say("check.address.tokens", count=len(settings.api_tokens), **where))
    if settings.listens_publicly:
        return Finding("address", "failed", say("serve.public_without_tokens", host=settings.host))
    return Finding("address", "ok", say("check.address.loopback", **where))


def _database(settings: Settings) -> Finding:
    try:
        absent = missing_sqlite_file(settings)
        if absent:
            return _writable("database", absent.parent, say("check.database.absent", path=absent))
        database = open_database(settings)
        try:
            return _schema(database)
        finally:
            database.close()
    except ServiceError as error:
        return Finding("database", "failed", error.message)


def _schema(database: Database) -> Finding:
    found, needed = schema.current_version(database), schema.newest_version()
    if not found:
        return Finding("database", "ok", say("check.database.empty", needed=needed))
    if found != needed:
        return Finding("database", "failed", say("check.database.other", found=found, needed=needed))
    mode = database.read_now(current_mode)
    said = say("check.database.ready", found=found)
    if mode:
        said += " " + say("check.database.mode", type=mode.target, source=mode.source, since=mode.since.isoformat())
    return Finding("database", "ok", said)


def _redis(settings: Settings) -> Finding:
    try:
        client = connect(settings.redis_address, timeout_seconds=settings.redis_timeout_seconds)
    except ConfigurationError as error:
        return Finding("redis", "failed", error.message)
    try:
        client.ping()
        kept = client.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
    except RedisError as error:
        # In-process mode needs no Redis, and even in durable mode jobs are accepted without it.
        wanted = settings.use_durable_worker and settings.worker_system_enabled
        key = "check.redis.away" if wanted else "check.redis.not_needed"
        return Finding("redis", "failed" if wanted else "note", say(key, error=type(error).__name__))
    finally:
        client.close()
    if kept != "noeviction":
        return Finding("redis", "note", say("check.redis.evicts", policy=kept))
    return Finding("redis", "ok", say("check.redis.ready"))


def _storage(settings: Settings) -> Finding:
    url = settings.storage_url
    if url.startswith("s3://"):
        return Finding("storage", "note", say("check.storage.s3", bucket=urlsplit(url).netloc))
    folder = Path(unquote(urlsplit(url).path)) if url.startswith("file://") else Path(url)
    return _writable("storage", folder, say("check.storage.folder", path=folder))


def _provider(settings: Settings) -> Finding:
    if settings.llm_provider == "offline":
        return Finding("provider", "note", say("check.provider.offline"))
    said = say("check.provider.named", name=settings.llm_provider, model=settings.llm_model, url=settings.llm_base_url)
    return Finding("provider", "ok" if settings.llm_api_key else "note", said + _without_key(settings))


def _without_key(settings: Settings) -> str:
    return "" if settings.llm_api_key else " " + say("check.provider.no_key")


def _search(settings: Settings) -> Finding:
    if settings.search_provider == "none":
        return Finding("search", "ok", say("check.search.none"))
    return Finding(
        "search", "ok", say("check.search.named", name=settings.search_provider, url=settings.search_base_url)
    )


def _writable(name: str, folder: Path, said: str) -> Finding:
    """Whether files can be made in `folder`, or the folder itself where it is not there yet."""
    nearest = next((place for place in (folder, *folder.absolute().parents) if place.exists()), Path("/"))
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return Finding(name, "ok", said)
    return Finding(name, "failed", say("check.not_writable", path=nearest))
