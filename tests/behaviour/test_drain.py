"""An operator drains the service in real processes: what runs is given back at its last step, in either mode."""

from typing import Any

import pytest

from tests.behaviour.conftest import Service
from tests.support.stack import is_gapless

TOKEN = "admin-of-this-test"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def post(service: Service, path: str, **body: Any) -> dict[str, Any]:
    answer = service.stack.http.post(f"/api/admin/{path}", json=body, headers=HEADERS)
    return dict(answer.raise_for_status().json())


def get(service: Service, path: str) -> dict[str, Any]:
    return dict(service.stack.http.get(f"/api/admin/{path}", headers=HEADERS).raise_for_status().json())


@pytest.fixture
def drained(service: Service) -> dict[str, Any]:
    """A job whose second model call is held open, given back by a drain."""
    service.stack.settings["ADMIN_TOKEN"] = TOKEN
    service.provider.hold("validation")
    service.start()
    job = service.stack.submit()
    service.provider.wait_for(lambda: bool(service.provider.seen("validation")))
    post(service, "drain", reason="an update", grace_seconds=0)
    return service.stack.wait_for(job["job_id"], "pending")


def test_what_waits_through_a_pause_is_not_lost_for_the_ledger(service: Service) -> None:
    """Given jobs whose deliveries met a pause: they are counted as waiting, and run when it is over."""
    service.stack.settings["ADMIN_TOKEN"] = TOKEN
    service.start()
    post(service, "pause", reason="an update")
    jobs = [service.stack.submit(f"{number}") for number in range(3)]
    service.stack.until(lambda: not any(get(service, "stats")["rq"]["queues"].values()), "all entries are popped")

    for _ in range(2):
        ledger = get(service, "ledger")
        assert (ledger["lost"], ledger["duplicated"], ledger["unexplained"]) == (0, 0, 0)
    post(service, "resume")

    assert {service.stack.wait_for(job["job_id"])["status"] for job in jobs} == {"completed"}


def test_a_drained_service_rests_and_goes_on_where_it_was(service: Service, drained: dict[str, Any]) -> None:
    """Given back, nobody takes it until somebody resumes; then it goes on from its last committed step."""
    stack, provider = service.stack, service.provider
    assert stack.http.get("/readyz").status_code == 503
    assert drained["attempt"] == 1
    waiting = stack.submit("둘")
    provider.release()

    post(service, "resume", reason="done")

    for job in (drained, waiting):
        assert stack.wait_for(job["job_id"])["status"] == "completed"
    assert stack.http.get("/readyz").status_code == 200
    assert len(provider.seen("signal", drained["job_id"])) == 1
    assert is_gapless(stack.events(drained["job_id"]))
