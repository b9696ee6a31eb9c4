"""How many files this process may have open: each event stream is one, and many systems begin with 1,024."""

import logging
import resource

_log = logging.getLogger(__name__)

_BESIDES = 500  # other requests, the database, Redis, calls of models


def allow(streams: int) -> None:
    """Raise this process's limit as far as `streams` need it; where the system forbids that, say what will not fit."""
    needed = streams + _BESIDES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    if allowed < needed:
        _log.warning(
            "MAX_STREAMS=%d needs %d open files, and this process may have %d (ulimit -Hn): connections will be "
            "refused before streams are",
            *(streams, needed, allowed),
            extra={"action": "too_few_files"},
        )
