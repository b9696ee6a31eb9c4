"""The limits of the checklist; each is an option of the command line, and has its text below `verification.help`."""

from dataclasses import dataclass, fields

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What must hold."""

    answer_seconds: float = 2.0
    worker_seconds: float = 15.0
    job_seconds: float = 600.0
    jobs: int = 10
    requests: int = 100
    at_once: int = 10
    mean_seconds: float = 3.0
    p99_seconds: float = 10.0
    failure_percent: float = 1.0
    memory_megabytes: float = 500.0


LIMITS = fields(Limits)
