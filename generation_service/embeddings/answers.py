"""What an embedding server's answer means: its vectors, what they cost, or why there are none."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2

from generation_service.embeddings.model import Vector
from generation_service.errors import PermanentError, ServiceError, TransientError
from generation_service.jobs.model import Usage
from generation_service.llm.faults import retry_after
from generation_service.llm.model import estimated_tokens

_TRANSIENT_STATUSES = frozenset({408, 409, 425, 429})
_PERMANENT: Mapping[int, tuple[str, str]] = {
    401: ("embedding_unauthorized", "the embedding server refused EMBEDDING_API_KEY"),
    403: ("embedding_forbidden", "the embedding server does not allow this call"),
    404: ("embedding_not_found", "the embedding server does not know the model, or EMBEDDING_BASE_URL is wrong"),
}
_MOST_TOKENS = 2**31 - 1  # of one call; a server that says more is not believed
_BAD_REQUEST = ("embedding_bad_request", "the embedding server refused the request as malformed")


def status_fault(status: int, headers: Mapping[str, str]) -> ServiceError:
    """The error for an answer with this status."""
    if status in _TRANSIENT_STATUSES or status >= 500:  # noqa: PLR2004 - the class of server errors
        code = "embedding_rate_limited" if status == 429 else "embedding_unavailable"  # noqa: PLR2004 - Too Many Requests
        return TransientError(code, f"the embedding server answered {status}", retry_after(headers))
    return PermanentError(*_PERMANENT.get(status, _BAD_REQUEST))


def connection_fault(error: Exception) -> TransientError:
    """The error for a server that was not reached, broke off or went silent."""
    if isinstance(error, (TimeoutError, httpx2.TimeoutException)):
        return TransientError("embedding_timeout", "the embedding server did not answer in time")
    return TransientError("embedding_unreachable", "the embedding server could not be reached, or broke off")


def vectors_of(body: bytes, texts: Sequence[str], model: str) -> tuple[list[Vector], Usage]:
    """A vector for each text, by the `index` each answer names, and what they cost.

    Raises TransientError where the answer is anything else: what a proxy says in passing looks like that.
    """
    try:
        answer = json.loads(body)
        items = {item.get("index", position): item["embedding"] for position, item in enumerate(answer["data"])}
        vectors = [_checked(items.pop(position)) for position in range(len(texts))]
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
        raise _unreadable() from error
    if items or len({len(vector) for vector in vectors}) != 1:
        raise _unreadable()
    return vectors, Usage(input_tokens=_tokens(answer.get("usage"), texts), model=model)


def _checked(vector: Any) -> Vector:
    if not vector or not all(isinstance(number, (int, float)) and math.isfinite(number) for number in vector):
        raise ValueError("not a vector")
    checked: Vector = vector
    return checked


def _tokens(usage: Any, texts: Sequence[str]) -> int:
    said = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return (
        said if isinstance(said, int) and 0 <= said <= _MOST_TOKENS else sum(estimated_tokens(text) for text in texts)
    )


def _unreadable() -> TransientError:
    return TransientError("embedding_unreadable", "the embedding server answered what holds no vectors for the texts")
