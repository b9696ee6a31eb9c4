"""Finds out whether RQ's Redis takes what is written to it: one that only answers would lose what is sent there."""

from uuid import uuid4

from redis.exceptions import RedisError

from workers.redis_connection import connect

_KEY = "generation:probe"
_SECONDS = 10


def write_and_read_back(url: str, *, timeout_seconds: float) -> None:
    """Write a key, read it, delete it. Blocking. Raises ConnectionError: Redis is away, read-only or full."""
    client = connect(url, timeout_seconds=timeout_seconds)
    key, value = f"{_KEY}:{uuid4().hex}", b"written"
    try:
        client.set(key, value, ex=_SECONDS)
        if client.get(key) != value:
            raise ConnectionError("Redis did not keep what was written")
        client.delete(key)
    except RedisError as error:
        raise ConnectionError(f"Redis cannot be written to: {type(error).__name__}") from error
    finally:
        client.close()
