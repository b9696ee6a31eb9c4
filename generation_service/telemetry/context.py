"""What is being worked on right now, carried along by contextvars so that each log line can say it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_FIELDS: ContextVar[Mapping[str, object]] = ContextVar("log_fields", default={})  # noqa: B039 - never written to


@contextmanager
def log_context(**fields: object) -> Iterator[None]:
    """Add `fields` (job_id, step, attempt, backend, request_id) to every log line within, in this task or thread.

    A field given as None is left out, and hides an outer one of the same name.
    """
    token = _FIELDS.set({**_FIELDS.get(), **fields})
    try:
        yield
    finally:
        _FIELDS.reset(token)


def current_fields() -> dict[str, object]:
    """The fields in force here, without those that are None."""
    return {name: value for name, value in _FIELDS.get().items() if value is not None}
