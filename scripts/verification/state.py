"""Checks of the service's state: its flag, its answers, its workers, its memory."""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from scripts.verification.findings import Finding, Missed, judged, look
from scripts.verification.limits import MEGABYTE, Limits
from scripts.verification.service import Service
from scripts.verification.surroundings import Process, Surroundings, processes_in

T = TypeVar("T")

_ANSWERS = 3
_PAUSE_SECONDS = 0.25


def flag(service: Service) -> Finding:
    """The service says of itself that jobs run in-process."""

    def judge() -> Finding:
        said: Mapping[str, Any] = service.health().get("worker_system") or {}
        ok = said.get("enabled") is False and said.get("type") == "background_tasks"
        value = f"enabled {str(said.get('enabled')).lower()}, type {said.get('type')}"
        return judged("flag", value, _FLAG, ok=ok, note="flag_on")

    return look("flag", _FLAG, judge)


_FLAG = "enabled false, type background_tasks"


def answers(service: Service, limits: Limits) -> Finding:
    """It is ready, and answers in time: the slowest of three answers counts."""
    limit = f"< {limits.answer_seconds:g} s"

    def judge() -> Finding:
        taken = []
        for _ in range(_ANSWERS):
            began = time.monotonic()
            status = service.answer_status("/readyz")
            taken.append(time.monotonic() - began)
            if status != 200:  # noqa: PLR2004 - HTTP's own number
                return judged("answers", status, limit, ok=False, note="not_ready", status=status)
        return judged("answers", f"{max(taken):.3f} s", limit, ok=max(taken) < limits.answer_seconds, note="slow")

    return look("answers", limit, judge)


def workers_gone(service: Service, told: Surroundings, limits: Limits, *, kept: bool) -> Finding:
    """No worker process takes jobs. Those on standby hold nothing of RQ and may stay; those that drain get time.

    `kept`: the rollback was asked to keep them, so there is nothing to check.
    """

    def judge() -> Finding:
        if kept:
            return Finding(check="workers_gone", outcome="skipped", limit="0", note="workers_kept")
        deadline = time.monotonic() + limits.worker_seconds
        while (left := _workers(service, told)) and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
        return judged("workers_gone", len(left), 0, ok=not left, note="workers_left", names=", ".join(left))

    return look("workers_gone", "0", judge)


def memory(service: Service, told: Surroundings, limits: Limits) -> Finding:
    """The largest API process stays below the limit."""
    limit = f"< {limits.memory_megabytes:g} MB"

    def judge() -> Finding:
        sizes = [one.rss_bytes for one in _processes(service, told) if one.role == "api" and one.rss_bytes]
        if not sizes:
            raise Missed("no_memory")
        largest = max(sizes) / MEGABYTE
        return judged("memory", f"{largest:.0f} MB", limit, ok=largest < limits.memory_megabytes, note="too_large")

    return look("memory", limit, judge)


def _workers(service: Service, told: Surroundings) -> list[str]:
    gone = {"standby", "ended", "crashed"}
    living = [one for one in _processes(service, told) if one.role == "worker" and one.state not in gone]
    return [f"{one.host}:{one.pid} ({one.state})" for one in living] or _known(told.rq_workers, list)


def _processes(service: Service, told: Surroundings) -> list[Process]:
    try:
        return told.processes()
    except Missed:
        return processes_in(service.stats())


def _known(ask: Callable[[], T], otherwise: Callable[[], T]) -> T:
    try:
        return ask()
    except Missed:
        return otherwise()
