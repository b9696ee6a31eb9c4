"""Following a job brings every event once and in order, whatever happens to the connections."""

import pytest

from generation_service.cli.client import Api, ApiProblem
from generation_service.cli.follow import Event, follow
from generation_service.errors import TransientError
from tests.cli.scripted_api import (
    NOTHING_MORE,
    RETRY_AT_ONCE,
    Answer,
    ScriptedApi,
    as_json,
    as_stream,
    frame,
)

EVENTS = "/api/generation/j/events"


def followed(service: ScriptedApi, **options: float) -> list[Event]:
    with Api(service.url) as api:
        return list(follow(api, "j", pause=lambda _seconds: None, **options))


def resumed_at(service: ScriptedApi) -> list[str | None]:
    return [asked.headers.get("last-event-id") for asked in service.asked_for(EVENTS)]


def test_a_stream_that_is_cut_is_resumed_without_losing_or_repeating_an_event(service: ScriptedApi) -> None:
    service.on(
        f"GET {EVENTS}",
        as_stream(RETRY_AT_ONCE, frame(1, "status", status="pending"), frame(2, "step"), "id: 3\nev", cut=True),
        as_stream(RETRY_AT_ONCE, frame(3, "progress", progress=50), cut=True),
        as_stream(RETRY_AT_ONCE, frame(4, "token", text="끝"), frame(5, "completed", status="completed")),
    )

    events = followed(service)

    assert [event.sequence for event in events] == [1, 2, 3, 4, 5]
    assert [event.type for event in events] == ["status", "step", "progress", "token", "completed"]
    assert resumed_at(service) == [None, "2", "3"]


def test_events_that_are_sent_again_are_not_yielded_again(service: ScriptedApi) -> None:
    service.on(
        f"GET {EVENTS}",
        as_stream(frame(1, "status"), frame(2, "step")),
        as_stream(frame(1, "status"), frame(2, "step"), frame(3, "completed")),
    )

    assert [event.sequence for event in followed(service)] == [1, 2, 3]


def test_a_gap_is_asked_for_again_rather_than_passed_over(service: ScriptedApi) -> None:
    service.on(
        f"GET {EVENTS}",
        as_stream(frame(1, "status"), frame(3, "completed")),
        as_stream(frame(2, "step"), frame(3, "completed")),
    )

    assert [event.sequence for event in followed(service)] == [1, 2, 3]
    assert resumed_at(service) == [None, "1"]


def test_a_service_that_restarts_is_waited_for(service: ScriptedApi) -> None:
    service.on(
        f"GET {EVENTS}",
        as_stream(frame(1, "status")),
        Answer(refuse=True),
        as_json({"detail": "starting"}, 503, **{"Retry-After": "1"}),
        as_stream(frame(2, "completed")),
    )

    assert [event.sequence for event in followed(service)] == [1, 2]


def test_an_ending_that_was_reopened_is_not_the_end(service: ScriptedApi) -> None:
    service.on(f"GET {EVENTS}", as_stream(frame(1, "failed"), frame(2, "retry"), frame(3, "completed")))

    assert [event.type for event in followed(service)] == ["failed", "retry", "completed"]


def test_a_job_that_had_ended_before_brings_nothing_more(service: ScriptedApi) -> None:
    service.on(f"GET {EVENTS}", as_stream(frame(1, "failed"), cut=True), NOTHING_MORE)

    assert [event.type for event in followed(service)] == ["failed"]


def test_a_job_that_may_not_be_read_is_a_problem_at_once(service: ScriptedApi) -> None:
    service.on(f"GET {EVENTS}", as_json({"code": "job_not_found", "detail": "There is no such job."}, 404))

    with pytest.raises(ApiProblem, match=r"There is no such job\.") as caught:
        followed(service)

    assert (caught.value.status, caught.value.code) == (404, "job_not_found")
    assert len(service.asked) == 1


def test_a_service_that_stays_away_is_given_up_with_a_sentence(service: ScriptedApi) -> None:
    service.on(f"GET {EVENTS}", Answer(refuse=True))

    with pytest.raises(TransientError, match="does not answer"):
        followed(service, patience_seconds=0)
