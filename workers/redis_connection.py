"""Clients of RQ's Redis, from a URL: direct, TLS, socket file or through Sentinel; each call is bounded in time."""

from typing import Any, TypeAlias
from urllib.parse import unquote

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from generation_service.errors import ConfigurationError
from generation_service.settings import say_of_setting

Client: TypeAlias = Any
"""A `redis.Redis`, whose type has parameters in some type packages and none in others."""

_OPEN_SENTINEL: Any = Sentinel  # redis-py has no types for it
_SENTINEL_SCHEME = "redis+sentinel"
_SENTINEL_PORT = 26379
_HEALTH_CHECK_SECONDS = 15


def connect(url: str, *, timeout_seconds: float, name: str | None = None) -> Client:
    """Make a client; nothing is sent yet. `name` is shown by CLIENT LIST.

    `redis://`, `rediss://`, `unix://`, or `redis+sentinel://[user:password@]host:port[,host:port]/service[/db]`.
    Nothing is ever tried twice by the client itself: a lost answer must not become a second delivery.
    Raises ConfigurationError for any other URL.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "socket_keepalive": True,
        "health_check_interval": _HEALTH_CHECK_SECONDS,
        "client_name": name,
        "retry": Retry(NoBackoff(), 0),
    }
    if url.startswith(_SENTINEL_SCHEME + "://"):
        return _through_sentinel(url, options)
    try:
        if url.startswith("unix://"):
            options.pop("socket_keepalive")
        return Redis.from_url(url, **options)
    except ValueError as error:
        raise _malformed() from error


def _malformed() -> ConfigurationError:
    return ConfigurationError(f"REDIS_URL: {say_of_setting('takes.redis_url')}")


def _through_sentinel(url: str, options: dict[str, Any]) -> Client:
    # Not urlsplit: since the fix of CVE-2025-0938 it refuses an address in brackets behind another host.
    authority, _, path = url.partition("://")[2].partition("?")[0].partition("/")
    credentials, _, hosts = authority.rpartition("@")
    user, _, password = credentials.partition(":")
    service, _, database = path.strip("/").partition("/")
    if not hosts or not service or not (database or "0").isdecimal():
        raise _malformed()
    sentinels = [_address(host) for host in hosts.split(",")]
    bounded = {key: options[key] for key in ("socket_timeout", "socket_connect_timeout", "retry")}
    sentinel: Client = _OPEN_SENTINEL(sentinels, sentinel_kwargs=bounded, **options)
    return sentinel.master_for(
        service,
        db=int(database or 0),
        username=unquote(user) or None,
        password=unquote(password) or None,
    )


def _address(host: str) -> tuple[str, int]:
    name, separator, port = host.rpartition(":")
    if not separator or host.endswith("]"):  # no port, perhaps an IPv6 address in brackets
        return host.strip("[]"), _SENTINEL_PORT
    if not port.isdecimal() or not name:
        raise _malformed()
    return name.strip("[]"), int(port)
