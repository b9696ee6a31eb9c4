"""The order of the tests, and which of them go to one process: a run is to end with every process at work."""

from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Where tests start real processes: these take longest.
_LONGEST = ("ops", "behaviour", "rq", "cli")
# Their fixtures are set up once for the module, and that takes long.
_TOGETHER = ("tests/database/test_query_plans.py", "tests/documents/test_objects_s3.py", "tests/ops/test_alerts.py")


def longest_first(items: list[pytest.Item]) -> None:
    """Put what is marked as slow first, then what starts real processes, then the rest, each in its order."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if item.get_closest_marker("slow"):
        return 0
    folder = item.path.relative_to(Path(__file__).parents[1]).parts[0]
    return 1 if folder in _LONGEST else 2


class OneByOne(LoadScopeScheduling):
    """Each process gets one test after the other as it goes on, but the whole of a module whose tests share much."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if module in _TOGETHER else nodeid


@pytest.hookimpl(optionalhook=True)
def make_scheduler(config: pytest.Config, log: Producer) -> OneByOne:
    """What gives tests to processes (a hook of pytest-xdist)."""
    return OneByOne(config, log)
