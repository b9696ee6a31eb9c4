"""Log lines: one JSON object (or one line of text) each, with the fields of the context they were written in."""

import json
import logging
import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, TextIO

from generation_service.telemetry.context import current_fields

# What every LogRecord has; anything else on it was given as `extra=`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
# Libraries that speak of each request or each poll; their warnings are still heard.
_QUIET = ("httpx2", "httpcore2", "rq_scheduler", "sse_starlette", "uvicorn.access", "asyncio", "alembic")


_as_json = json.JSONEncoder(ensure_ascii=False, default=str).encode


@lru_cache(maxsize=2)
def _second(since_1970: int) -> str:
    """A moment without its fraction: a busy process writes thousands of lines in each."""
    return datetime.fromtimestamp(since_1970, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class _Formatter(logging.Formatter):
    def fields(self, record: logging.LogRecord) -> dict[str, object]:
        """What the line says besides its text: the context, then what the call added."""
        given = {name: value for name, value in vars(record).items() if name not in _STANDARD and value is not None}
        return current_fields() | given

    def time(self, record: logging.LogRecord) -> str:
        return f"{_second(int(record.created))}.{int(record.msecs):03d}Z"


class JsonFormatter(_Formatter):
    """One JSON object a line: time, level, logger, message, the fields, and `exception` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its line feed."""
        line: dict[str, object] = {
            "time": self.time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self.fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _as_json(line)


class TextFormatter(_Formatter):
    """Time, level, message, then `name=value` for each field: for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback follows on lines of its own."""
        fields = "".join(f" {name}={value}" for name, value in self.fields(record).items())
        line = f"{self.time(record)} {record.levelname:<7} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure_logging(
    log_format: Literal["json", "text"],
    level: Literal["debug", "info", "warning", "error"],
    stream: TextIO | None = None,
) -> None:
    """Send every log line of this process to `stream` (standard error) in one format; may be called again."""
    # Each costs a look-up a line, and no line of ours says it.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "rq", "rq.worker"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
