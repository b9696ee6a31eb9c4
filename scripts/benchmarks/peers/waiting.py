"""Libraries that hold many jobs in one process: each job waits as long as three model calls and does nothing else."""

import json
import subprocess
from importlib.util import find_spec

from scripts.benchmarks.ground import Ground

LIBRARIES = ("dramatiq", "saq")
CALLS, CALL_SECONDS = 3, 0.333
_MOST_SECONDS = 180.0


def is_installed(library: str) -> bool:
    """Whether the library is there."""
    return find_spec(library) is not None


def measure(ground: Ground, library: str, count: int) -> tuple[float, float]:
    """The seconds and the resident MB of `count` waiting jobs on as many slots, in a process of their own."""
    ground.empty_redis()
    asked = (library, ground.redis_url, str(count), str(CALL_SECONDS), str(CALLS))
    program = ground.module("scripts.benchmarks.peers.waiting_jobs", *asked)
    done = subprocess.run(  # noqa: S603 - a module of this project
        program.command,
        env=dict(program.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=_MOST_SECONDS,
        check=True,
    )
    measured = json.loads(done.stdout)
    return float(measured["seconds"]), float(measured["rss_mb"])
