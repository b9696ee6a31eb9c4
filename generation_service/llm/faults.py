"""What a provider's failure means, and its code: transient, so the job is tried again, or permanent."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from generation_service.errors import PermanentError, ServiceError, TransientError

_POLICY_CODES = frozenset({"content_filter", "content_policy_violation", "responsible_ai_policy_violation"})
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_LONGEST_WAIT_SECONDS = 86_400.0

_TRANSIENT_STATUSES = frozenset({408, 409, 425, 429})
_PERMANENT: Mapping[int, tuple[str, str]] = {
    401: ("provider_unauthorized", "the model's server refused LLM_API_KEY"),
    403: ("provider_forbidden", "the model's server does not allow this call"),
    404: ("provider_not_found", "the model's server does not know LLM_MODEL, or LLM_BASE_URL is wrong"),
}
_BAD_REQUEST = ("provider_bad_request", "the model's server refused the request as malformed")


def status_fault(status: int, body: object, headers: Mapping[str, str]) -> ServiceError:
    """The error for an answer with an HTTP error status; `body` is its `error` object, where there was one."""
    named = named_fault(body)
    if named is not None:
        return named
    if status in _TRANSIENT_STATUSES or status >= 500:  # noqa: PLR2004 - the class of server errors
        code = "provider_rate_limited" if status == 429 else "provider_unavailable"  # noqa: PLR2004 - Too Many Requests
        return TransientError(code, f"the model's server answered {status}", retry_after(headers))
    return PermanentError(*_PERMANENT.get(status, _BAD_REQUEST))


def named_fault(body: object) -> PermanentError | None:
    """The error that the body names by a code of its own, whatever the status was; None where it names none."""
    names = _names(body)
    if names & _POLICY_CODES:
        return PermanentError("content_policy", "the model's server refused the content by its policy")
    if names & _QUOTA_CODES:
        return PermanentError("provider_quota", "the account at the model's server has no quota left")
    if "context_length_exceeded" in names or "maximum context length" in _message(body):  # vLLM gives no code
        return PermanentError("context_length_exceeded", "the material is longer than the model can read")
    return None


def event_fault(body: object) -> ServiceError:
    """The error for an error event within a stream."""
    return named_fault(body) or TransientError(
        "provider_broken_stream", "the model's server reported an error in the middle of its answer"
    )


def connection_fault(error: httpx2.RequestError) -> TransientError:
    """The error for a connection that was refused, broke, or went silent."""
    if isinstance(error, httpx2.TimeoutException):
        return TransientError("provider_timeout", "the model's server did not answer in time")
    if isinstance(error, httpx2.ConnectError):
        return TransientError("provider_unreachable", "the model's server could not be reached")
    return TransientError("provider_broken_stream", "the connection to the model's server broke")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds a Retry-After header asks for, as a number or an HTTP date (RFC 9110); None without one."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value) if value.replace(".", "", 1).isdigit() else _until(value)
    except ValueError:
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT_SECONDS)


def _until(http_date: str) -> float:
    at = parsedate_to_datetime(http_date)
    return (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


def _names(body: Any) -> set[str]:
    if not isinstance(body, dict):
        return set()
    inner = body.get("error")
    nested = _names(inner) if isinstance(inner, dict) else set()
    found = {body.get("code"), body.get("type")} | {_inner_code(body)}
    return nested | {name for name in found if isinstance(name, str)}


def _message(body: Any) -> str:
    return str(body.get("message", "")) if isinstance(body, dict) else ""


def _inner_code(body: dict[str, Any]) -> object:
    inner = body.get("innererror")  # Azure's place for it
    return inner.get("code") if isinstance(inner, dict) else None
