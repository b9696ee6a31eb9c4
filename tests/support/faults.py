"""What the mock provider answers, good and bad, as a series of moves."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

_SIGNALS = {
    "signals": [
        {"kind": "character", "name": "모의인물", "text": "모의 인물이 사건을 이끈다.", "sources": [1]},
        {"kind": "conflict", "text": "모의 갈등이 있다.", "people": ["모의인물"], "sources": [1]},
        {"kind": "beat", "stage": "setup", "text": "모의 사건이 시작된다.", "people": ["모의인물"], "sources": [1]},
        {"kind": "risk", "category": "finance", "severity": "high", "text": "A mock risk is found.", "sources": [1]},
    ]
}
_SCENE = "## S#{n}. 모의 장소 / 낮\n\n모의인물이 {n}번째 문을 연다.\n\n**모의인물** {n}번째 대사입니다.\n\n"

ANSWERS = {
    "external": '{"hits": [{"url": "https://example.org/mock", "title": "Mock", "snippet": "A mock finding."}]}',
    "signal": json.dumps(_SIGNALS, ensure_ascii=False),
    "validation": '{"drop": [], "notes": ["mock validation"]}',
    "insight": "".join(_SCENE.format(n=n) for n in range(1, 6)),
}
"""What is answered to each step where a test says nothing else."""

PROSE = "JSON이 아닌 답입니다. 첫 번째 관찰: 서점은 문을 닫는다. 두 번째 관찰: 도현은 떠나지 않는다."


@dataclass(frozen=True)
class Move:
    """One step of an answer: send a message, then perhaps wait for the test or hang for ever."""

    message: dict[str, Any] | None = None
    holds: bool = False
    hangs: bool = False
    outcome: str | None = None


@dataclass(frozen=True)
class Status:
    """An answer that is an error from its first line."""

    status: int
    code: str | None = None
    kind: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


# Each is a name for `Provider.fail(step, name)` and for LLM_MODEL.
STATUSES: dict[str, Status] = {
    "bad_request": Status(400, "bad_parameter"),
    "context_length": Status(400, "context_length_exceeded"),
    "content_filter": Status(400, "content_filter"),
    "content_policy": Status(400, "content_policy_violation"),
    "unauthorized": Status(401, "invalid_api_key"),
    "forbidden": Status(403),
    "not_found": Status(404, "model_not_found"),
    "unprocessable": Status(422),
    "request_timeout": Status(408),
    "conflict": Status(409),
    "rate_limit": Status(429, "rate_limit_exceeded", headers=(("retry-after", "7"),)),
    "rate_limit_bare": Status(429),
    "rate_limit_date": Status(429, headers=(("retry-after", "DATE+30"),)),
    "quota": Status(429, "insufficient_quota", "insufficient_quota"),
    "server_error": Status(500),
    "bad_gateway": Status(502),
    "unavailable": Status(503, headers=(("retry-after", "3"),)),
    "gateway_timeout": Status(504),
}
STREAMS = (
    "no_answer",  # the connection is accepted and nothing is ever said
    "hang",  # silence in the middle of the stream
    "cut",  # the connection breaks in the middle of the stream
    "no_end",  # the stream ends in good order with neither a finish_reason nor [DONE]
    "error_event",  # an error in the middle of the stream
    "filter_event",  # a content-policy error in the middle of the stream
    "garbage",  # a line that is not JSON
    "finish_filter",  # finish_reason content_filter
    "refusal",  # the model refuses in a delta of its own kind
    "length",  # finish_reason length
    "null_finish",  # [DONE], but finish_reason was never said (Ollama)
    "no_done",  # finish_reason, but no [DONE]
    "no_usage",  # no usage chunk
    "empty",  # a complete answer without a word
    "separators",  # U+2028 and U+0085 unescaped inside the JSON
    "fenced",  # the answer in a Markdown code fence
    "prose",  # prose where JSON was asked for
)
FAULTS = frozenset(STATUSES) | frozenset(STREAMS)


def moves(fault: str | None, text: str, model: str) -> Iterator[Move]:
    """The answer to one call."""
    if fault in STATUSES:
        yield from _refusal(STATUSES[fault])
        return
    if fault == "no_answer":
        yield Move(hangs=True)
        return
    yield Move(_start(200, [(b"content-type", b"text/event-stream")]))
    yield from _stream(fault, _worded(fault, text), model)


def _refusal(fault: Status) -> Iterator[Move]:
    body = {"error": {"message": "failed on purpose", "code": fault.code, "type": fault.kind}}
    headers = [(b"content-type", b"application/json")]
    for name, value in fault.headers:
        shown = formatdate(time.time() + 30, usegmt=True) if value == "DATE+30" else value
        headers.append((name.encode(), shown.encode()))
    yield Move(_start(fault.status, headers))
    yield Move(_body(json.dumps(body).encode(), more=False), outcome="refused")


def _worded(fault: str | None, text: str) -> str:
    changed = {
        "empty": "",
        "prose": PROSE,
        "fenced": f"```json\n{text}\n```",
        "separators": f"앞\u2028뒤\u0085끝 {text}",
    }
    return changed.get(fault or "", text)


def _stream(fault: str | None, text: str, model: str) -> Iterator[Move]:
    pieces = [text[start : start + 12] for start in range(0, len(text), 12)]
    yield Move(_chunk({"role": "assistant", "content": pieces[0] if pieces else ""}, model=model), holds=True)
    middle = len(pieces) // 2 + 1
    yield from (Move(_chunk({"content": piece}, model=model)) for piece in pieces[1:middle])
    if fault in _BREAKS:
        yield _BREAKS[fault]
        return
    yield from (Move(_chunk({"content": piece}, model=model)) for piece in pieces[middle:])
    yield from _end(fault, text, model)


def _end(fault: str | None, text: str, model: str) -> Iterator[Move]:
    finish = {"finish_filter": "content_filter", "length": "length", "null_finish": None, "no_end": None}
    if fault == "refusal":
        yield Move(_chunk({"refusal": "I will not write this."}, model=model))
    yield Move(_chunk({}, finish.get(fault or "", "stop"), model=model))
    if fault not in {"no_usage", "no_end"}:
        usage = {"prompt_tokens": 100, "completion_tokens": max(1, len(text) // 4), "total_tokens": 0}
        yield Move(
            _event({"id": "mock", "object": "chat.completion.chunk", "model": model, "choices": [], "usage": usage})
        )
    if fault not in {"no_end", "no_done"}:
        yield Move(_body(b"data: [DONE]\n\n"))
    yield Move(_body(b"", more=False))


def _chunk(delta: dict[str, Any], finish: str | None = None, *, model: str) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _event({"id": "mock", "object": "chat.completion.chunk", "created": 0, "model": model, "choices": [choice]})


def _event(content: dict[str, Any]) -> dict[str, Any]:
    return _body(f"data: {json.dumps(content, ensure_ascii=False)}\n\n".encode())


def _start(status: int, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def _body(content: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


_BREAKS = {
    "hang": Move(hangs=True),
    "cut": Move(outcome="cut"),
    "error_event": Move(_event({"error": {"message": "failed on purpose", "code": 503, "type": "server_error"}})),
    "filter_event": Move(_event({"error": {"message": "failed on purpose", "code": "content_filter"}})),
    "garbage": Move(_body(b"data: {not json\n\n")),
}
