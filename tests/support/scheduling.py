"""The order of the tests, and which of them go to one process: a run is to end with every process at work."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

# Where tests start real processes: these take longest.
_LONGEST = frozenset({"ops", "behaviour", "rq", "cli"})
# What such a module sets up is set up once, and that takes long: the whole of it goes to one process.
_TOGETHER = frozenset(
    {"tests/database/test_query_plans.py", "tests/documents/test_objects_s3.py", "tests/ops/test_alerts.py"}
)


def longest_first(items: list[pytest.Item]) -> None:
    """Put what is marked as slow first, then what starts real processes or goes together, then the rest."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    if item.get_closest_marker("slow"):
        return 0
    return 1 if _module(item.nodeid) in _TOGETHER or _LONGEST & set(item.path.parts) else 2


def _module(nodeid: str) -> str:
    return nodeid.partition("::")[0]


class OneByOne(LoadScopeScheduling):
    """Each process has one test and the next one waiting, or the whole of a module whose tests share much."""

    def _split_scope(self, nodeid: str) -> str:
        module = _module(nodeid)
        return module if module in _TOGETHER else nodeid

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """Note it, and forget what is done: what a process that dies leaves behind is only what it has not run."""
        super().mark_test_complete(node, item_index, duration)
        scope = self._split_scope(self.registered_collections[node][item_index])
        if all(self.assigned_work[node][scope].values()):
            del self.assigned_work[node][scope]


@pytest.hookimpl(optionalhook=True)
def make_scheduler(config: pytest.Config, log: Producer) -> OneByOne | None:
    """Choose what gives tests to processes (a hook of pytest-xdist), unless `--dist` asks for another way."""
    if config.getvalue("dist") != "load":
        return None
    config.option.loadscopereorder = False  # the order is that of `longest_first`
    return OneByOne(config, log)
