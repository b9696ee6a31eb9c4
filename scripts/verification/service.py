"""The service under verification, as any caller meets it: over HTTP, with an API token where one is needed."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2

from generation_service.settings import Settings
from scripts.verification.findings import Missed
from workers.background_adapter import VERIFICATION_PROJECT

ENDINGS = frozenset({"completed", "failed", "cancelled"})

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_PATIENCE_SECONDS = 30.0  # longer than any limit of an answer: a slow one is measured, not cut off
_SILENCE_SECONDS = 45.0  # a stream says something every 15 seconds
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event of a stream as it came, and when (monotonic)."""

    at: float
    id: str
    type: str
    data: Mapping[str, Any]


class Service:
    """One method a question. Each raises Missed where there is no answer, or an unexpected one."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        admin_token: str | None = None,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        self.url = url
        self._admin_token = admin_token
        self._http = httpx2.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=patience_seconds,
            limits=httpx2.Limits(max_connections=64),
            trust_env=urlsplit(url).hostname not in _LOOPBACK,  # no proxy is asked for this very machine
        )

    @classmethod
    def of(cls, settings: Settings, *, patience_seconds: float = _PATIENCE_SECONDS) -> Self:
        """The service that API_URL, or HOST and PORT, name, with the tokens that are set.

        Where the service's own environment is at hand and says no API_TOKEN, the first of its API_TOKENS will do.
        """
        token, admin = settings.api_token, settings.admin_token
        return cls(
            settings.api_address,
            token=token.get_secret_value() if token else next(iter(settings.api_tokens or ()), None),
            admin_token=admin.get_secret_value() if admin else None,
            patience_seconds=patience_seconds,
        )

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of a GET that was answered with success."""
        return self._json(self._request("GET", path, params=params))

    def answer_status(self, path: str) -> int:
        """The status of a GET, whichever it is."""
        with _said():
            return self._http.get(path).status_code

    def health(self) -> Mapping[str, Any]:
        """What /health says, with 503 too."""
        with _said():
            return dict(self._json(self._http.get("/health")))

    def stats(self) -> Mapping[str, Any]:
        """What /api/admin/stats says. Raises Missed without an ADMIN_TOKEN."""
        if self._admin_token is None:
            raise Missed("no_admin_token")
        headers = {"Authorization": f"Bearer {self._admin_token}"}
        return dict(self._json(self._request("GET", "/api/admin/stats", headers=headers)))

    def submit(self, title: str) -> dict[str, Any]:
        """A job of high priority in the project that has a slot of its own."""
        body = {"project_id": VERIFICATION_PROJECT, "episode_data": {"title": title}, "priority": "high"}
        answer = self._request("POST", "/api/generation", json=body, headers={"Idempotency-Key": str(uuid4())})
        return dict(self._json(answer))

    def result(self, job_id: str) -> str:
        """The text that a completed job left."""
        return self._request("GET", f"/api/generation/{job_id}/result", params={"format": "markdown"}).text

    def wait_for(self, path: str, seconds: float) -> dict[str, Any]:
        """What `path` shows once its status is an ending. Raises Missed where it is none within `seconds`."""
        deadline = time.monotonic() + seconds
        while (shown := dict(self.get(path)))["status"] not in ENDINGS:
            if time.monotonic() > deadline:
                raise Missed("too_long", seconds=f"{seconds:g}", status=shown["status"])
            time.sleep(_PAUSE_SECONDS)
        return shown

    def wait_for_job(self, job_id: str, seconds: float) -> dict[str, Any]:
        """The job once it has ended."""
        return self.wait_for(f"/api/generation/{job_id}", seconds)

    def follow(self, job_id: str, seconds: float) -> list[Arrival]:
        """The event stream of a job up to its ending, just as it came. Raises Missed where it does not end in time."""
        arrived: list[Arrival] = []
        deadline = time.monotonic() + seconds
        while not arrived or arrived[-1].type not in ENDINGS:
            if time.monotonic() > deadline:
                raise Missed("stream_without_end", seconds=f"{seconds:g}", count=len(arrived))
            before = len(arrived)
            arrived += self._events(job_id, arrived[-1].id if arrived else "", deadline)
            if len(arrived) == before:
                time.sleep(_PAUSE_SECONDS)  # it ended cleanly, as in a restart, and is asked for again
        return arrived

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """A document for the same project."""
        return dict(
            self._json(
                self._request(
                    "POST",
                    "/api/v1/documents/upload",
                    files={"file": (name, content)},
                    data={"container_id": VERIFICATION_PROJECT},
                    headers={"Idempotency-Key": str(uuid4())},
                )
            )
        )

    def delete(self, path: str) -> None:
        """Delete what `path` shows."""
        self._request("DELETE", path)

    def _events(self, job_id: str, after: str, deadline: float) -> Iterator[Arrival]:
        headers = {"Last-Event-ID": after} if after else {}
        path = f"/api/generation/{job_id}/events"
        with _said(), self._http.sse(path, headers=headers, timeout=_SILENCE_SECONDS) as source:
            if source.response.is_error:
                raise Missed("answered", path="events", status=source.response.status_code)
            if source.response.status_code == httpx2.codes.NO_CONTENT:
                raise Missed("stream_gone")
            for frame in source:
                if frame.data:
                    yield Arrival(time.monotonic(), str(frame.id), str(frame.event), dict(json.loads(frame.data)))
                if time.monotonic() > deadline:
                    return

    def _request(self, method: str, path: str, **arguments: Any) -> httpx2.Response:
        with _said():
            answer = self._http.request(method, path, **arguments)
        if answer.is_error:
            raise Missed("answered", path=path.rpartition("/")[2], status=answer.status_code)
        return answer

    def _json(self, answer: httpx2.Response) -> Any:
        try:
            return answer.json()
        except ValueError as error:
            raise Missed("no_json", status=answer.status_code) from error


@contextmanager
def _said() -> Iterator[None]:
    """A connection that fails, as a check that missed."""
    try:
        yield
    except (httpx2.TransportError, ValueError) as error:
        raise Missed("no_answer", error=type(error).__name__) from error
