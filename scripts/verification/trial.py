"""Checks of jobs: one that is followed from its submission to its episode, a document, and several in a row."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import uuid4

from scripts.verification.findings import Finding, Missed, judged, look
from scripts.verification.limits import Limits
from scripts.verification.service import Arrival, Service
from workers.background_adapter import VERIFICATION_PROJECT

TITLE = "Rollback verification"

_MOST_EPISODES = 500  # a page of the list
_DOCUMENT = b"This document was uploaded to see whether documents are read after a rollback.\n"
# A stream that somebody on the way holds back comes in one piece: then it takes none of the time that the job took.
_NOTICEABLE_SECONDS = 0.5
_LIVE_SHARE = 0.25


@dataclass(frozen=True)
class Run:
    """What one job left: its stream as it came, and the job at its end."""

    job: dict[str, Any]
    arrived: list[Arrival]
    episodes_before: int


@dataclass
class Trial:
    """One job, run when the first check asks for it; the others look at the same."""

    service: Service
    limits: Limits
    _missed: Missed | None = field(default=None, init=False)

    def findings(self) -> list[Finding]:
        """The checks that one job answers, in the order of the list."""
        return [
            look("in_process", "background_tasks", self._in_process),
            look("stream", "1, 2, 3 ...", self._stream),
            look("progress", "0 ... 100", self._progress),
            look("script", "completed", self._script),
            look("episode", "n + 1", self._episode),
        ]

    @cached_property
    def _run(self) -> Run:
        if self._missed:
            raise self._missed
        try:
            return self._follow()
        except Missed as missed:
            self._missed = missed  # the other checks need not wait for the same once more
            raise

    def _follow(self) -> Run:
        before = _last_episode(self.service)
        job_id = str(self.service.submit(TITLE)["job_id"])
        arrived = self.service.follow(job_id, self.limits.job_seconds)
        return Run(self.service.wait_for_job(job_id, self.limits.job_seconds), arrived, before)

    def _in_process(self) -> Finding:
        run = self._run
        seen = {str(run.job["backend"])} | {str(one.data["backend"]) for one in run.arrived if "backend" in one.data}
        ok = seen == {"background_tasks"}
        return judged("in_process", ", ".join(sorted(seen)), "background_tasks", ok=ok, note="elsewhere")

    def _stream(self) -> Finding:
        arrived = self._run.arrived
        wanted = [str(number) for number in range(1, len(arrived) + 1)]
        ok = [one.id for one in arrived] == wanted == [str(one.data.get("sequence")) for one in arrived]
        return judged("stream", _in_words([one.id for one in arrived]), "1, 2, 3 ...", ok=ok, note="stream_gap")

    def _progress(self) -> Finding:
        run = self._run
        told = [float(one.data["progress"]) for one in run.arrived if "progress" in one.data]
        if not told or told != sorted(told) or float(run.job["progress"]) < 100:  # noqa: PLR2004 - percent
            return judged("progress", _in_words(told), "0 ... 100", ok=False, note="no_progress")
        spread = run.arrived[-1].at - run.arrived[0].at
        held_back = _seconds_taken(run.job) > _NOTICEABLE_SECONDS and spread < _LIVE_SHARE * _seconds_taken(run.job)
        value = f"{told[0]:g} ... {told[-1]:g}, {spread:.1f} s"
        return judged("progress", value, "0 ... 100", ok=not held_back, note="held_back", seconds=f"{spread:.1f}")

    def _script(self) -> Finding:
        job = self._run.job
        if job["status"] != "completed":
            code = (job.get("error") or {}).get("code", "-")
            return judged("script", job["status"], "completed", ok=False, note="job_failed", code=code)
        length = len(self.service.result(str(job["job_id"])).strip())
        return judged("script", f"completed, {length}", "completed", ok=length > 0, note="no_text")

    def _episode(self) -> Finding:
        run = self._run
        number = (run.job.get("result") or {}).get("episode_number")
        if not isinstance(number, int):
            raise Missed("no_episode")
        saved = self.service.get(f"/api/projects/{VERIFICATION_PROJECT}/episodes/{number}")
        numbers = _episodes_behind(self.service, run.episodes_before)
        # Another verification may run at the same time: then there are more, but never a gap or a repeat.
        gapless = numbers == list(range(run.episodes_before + 1, run.episodes_before + len(numbers) + 1))
        ok = number in numbers and gapless and saved.get("job_id") == run.job["job_id"]
        return judged("episode", number, run.episodes_before + 1, ok=ok, note="wrong_number")


def document(service: Service, limits: Limits) -> Finding:
    """A document is read to its end, and leaves nothing behind."""

    def judge() -> Finding:
        # Never the same text twice: what a project has already is not read again.
        accepted = service.upload("rollback-verification.txt", _DOCUMENT + uuid4().hex.encode())
        place = f"/api/v1/documents/{accepted['document_id']}"
        state = service.wait_for(f"{place}/status", limits.job_seconds)
        service.delete(place)
        error = state.get("code") or "-"
        return judged(
            "document", state["status"], "completed", ok=state["status"] == "completed", note="document", code=error
        )

    return look("document", "completed", judge)


def in_a_row(service: Service, limits: Limits) -> Finding:
    """Several jobs, one after the other, without an error."""
    limit = f"{limits.jobs}"

    def judge() -> Finding:
        for done in range(limits.jobs):
            job = service.wait_for_job(str(service.submit(f"{TITLE} {done + 1}")["job_id"]), limits.job_seconds)
            if job["status"] != "completed" or job["backend"] != "background_tasks":
                code = (job.get("error") or {}).get("code", job["backend"])
                return judged("in_a_row", done, limit, ok=False, note="row_broken", status=job["status"], code=code)
        return judged("in_a_row", limits.jobs, limit, ok=True)

    return look("in_a_row", limit, judge)


def _last_episode(service: Service) -> int:
    numbers = _episodes_behind(service, 0)
    return numbers[-1] if numbers else 0


def _episodes_behind(service: Service, number: int) -> list[int]:
    """The numbers of the saved episodes after `number`. A project that nobody has used yet has none."""
    path = f"/api/projects/{VERIFICATION_PROJECT}/episodes"
    if service.answer_status(path) == 404:  # noqa: PLR2004 - HTTP's own number
        return []
    found: list[int] = []
    cursor: str | None = str(number)
    while cursor is not None:
        page = service.get(path, limit=_MOST_EPISODES, cursor=cursor)
        found += [int(one["number"]) for one in page["items"]]
        cursor = page["next_cursor"]
    return found


def _seconds_taken(job: dict[str, Any]) -> float:
    started, completed = job.get("started_at"), job.get("completed_at")
    if not started or not completed:
        return 0.0
    return (datetime.fromisoformat(completed) - datetime.fromisoformat(started)).total_seconds()


def _in_words(values: list[Any]) -> str:
    """The first and the last, and where it is not in order."""
    if not values:
        return "-"
    return f"{values[0]} ... {values[-1]} ({len(values)})"
