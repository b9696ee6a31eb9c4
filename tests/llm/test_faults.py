"""What a provider's answer means."""

from generation_service.errors import PermanentError, TransientError
from generation_service.llm.faults import retry_after, status_fault


def test_a_policy_refusal_is_permanent_under_any_status() -> None:
    azure = {"code": "invalid", "innererror": {"code": "content_filter"}}

    assert isinstance(status_fault(500, {"code": "content_filter"}, {}), PermanentError)
    assert status_fault(400, azure, {}).code == "content_policy"


def test_a_context_that_is_too_long_is_told_by_its_message_too() -> None:
    body = {"message": "This model's maximum context length is 4096 tokens"}

    assert status_fault(400, body, {}).code == "context_length_exceeded"


def test_a_body_of_another_shape_is_no_obstacle() -> None:
    for body in (None, "text", ["list"], {"code": 17}, {"error": {"code": "insufficient_quota"}}):
        assert status_fault(429, body, {}) is not None
    assert isinstance(status_fault(429, None, {}), TransientError)


def test_retry_after_bears_anything() -> None:
    told = {"5": 5.0, "2.5": 2.5, "-3": None, "soon": None, "": None, "99999999": 86_400.0}

    assert {value: retry_after({"retry-after": value}) for value in told} == told
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert retry_after({}) is None
