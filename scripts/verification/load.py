"""Checks under load: many requests, some at once, and how long their answers take."""

import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from scripts.verification.findings import Finding, Missed, judged
from scripts.verification.limits import Limits
from scripts.verification.service import Service

PATH = "/api/generation?limit=1"

_P99 = 0.99


@dataclass(frozen=True, slots=True)
class Answer:
    """How long one request took, and whether it was answered with success."""

    seconds: float
    ok: bool


def findings(service: Service, limits: Limits) -> list[Finding]:
    """The mean, the 99th percentile and the share of failures of `limits.requests` requests.

    Only answers with success have a time that counts: a refusal would be the quickest of all.
    """
    answers = ask(service, limits)
    taken = [one.seconds for one in answers if one.ok] or [math.inf]
    mean, p99 = sum(taken) / len(taken), percentile(taken, _P99)
    failed = 100 * sum(not one.ok for one in answers) / len(answers)
    few = failed < limits.failure_percent
    return [
        judged("mean", f"{mean:.3f} s", f"< {limits.mean_seconds:g} s", ok=mean < limits.mean_seconds, note="slow"),
        judged("p99", f"{p99:.3f} s", f"< {limits.p99_seconds:g} s", ok=p99 < limits.p99_seconds, note="slow"),
        judged("failures", f"{failed:g} %", f"< {limits.failure_percent:g} %", ok=few, note="fail"),
    ]


def ask(service: Service, limits: Limits) -> list[Answer]:
    """Send the requests, `limits.at_once` at any moment; one that fails counts with the time it took."""
    with ThreadPoolExecutor(limits.at_once) as pool:
        return list(pool.map(lambda _: _ask(service), range(limits.requests)))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed (nearest rank)."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def _ask(service: Service) -> Answer:
    began = time.monotonic()
    try:
        ok = service.answer_status(PATH) < 400  # noqa: PLR2004 - HTTP's own number
    except Missed:
        ok = False
    return Answer(time.monotonic() - began, ok)
