"""What must hold of every job when all is over, however often its processes were killed or its backend changed."""

from collections import Counter
from collections.abc import Sequence

from tests.support.provider import Provider
from tests.support.stack import Stack, is_gapless

MODEL_STEPS = ("signal", "validation", "insight")


def assert_every_step_was_committed_once(stack: Stack, provider: Provider, job_id: str) -> None:
    """Events 1, 2, 3 ..., one ending, each step committed once, and no model call beyond a step's starts."""
    events = stack.events(job_id)
    assert is_gapless(events)
    steps = [event["data"] for event in events if event["event"] == "step"]
    committed = Counter(step["step"] for step in steps if step["status"] in {"completed", "skipped"})
    assert set(committed.values()) == {1}
    assert len(committed) == 8
    assert [event["event"] for event in events].count("completed") == 1
    for name in MODEL_STEPS:
        starts = sum(step["step"] == name and step["status"] == "running" for step in steps)
        assert provider.count(name, job_id) <= starts


def assert_one_episode_each(stack: Stack, project: str, job_ids: Sequence[str]) -> None:
    """The project has one episode of each job, numbered 1, 2, 3 ..."""
    page = stack.http.get(f"/api/projects/{project}/episodes", params={"limit": 500}).json()["items"]
    assert sorted(episode["number"] for episode in page) == list(range(1, len(job_ids) + 1))
    assert sorted(episode["job_id"] for episode in page) == sorted(job_ids)
