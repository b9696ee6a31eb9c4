"""The API as the command line sees it: one method a route, problems as exceptions."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import quote, urlsplit

import httpx2

from generation_service.cli.folders import in_utf8
from generation_service.cli.program_form import ProgramForm
from generation_service.cli.terminal import language, say
from generation_service.errors import ConfigurationError, ServiceError, TransientError
from generation_service.settings import Settings

# The service sends a comment each 15 seconds; twice nothing means that nobody is there any more.
_SILENCE_SECONDS = 45.0
_CONNECT_SECONDS = 5.0
_PAGE = 500
_ANSWER_SECONDS = 60.0
# Nobody there at the very first request: most likely nobody ever was. Later on it is a restart.
_PAUSES_AT_FIRST = (0.25, 0.5, 1.0)
_PAUSES_LATER = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0)
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class ApiProblem(ServiceError):
    """The API refused or failed: its problem details (RFC 9457) as a message, each value that is wrong on a line."""

    def __init__(self, status: int, code: str, detail: str, retry_after: float | None = None) -> None:
        super().__init__(code, detail)
        self.status = status
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        """Whether the same request can succeed later."""
        return self.status in {408, 425, 429} or self.status >= 500  # noqa: PLR2004 - HTTP's own numbers


class Api:
    """A connection to the API; a context manager. Its methods raise ApiProblem or TransientError.

    `answered` says whether anybody has answered yet.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        self.answered = False
        try:
            self._http = httpx2.Client(
                base_url=url,
                headers={"Accept-Language": language()} | ({"Authorization": f"Bearer {token}"} if token else {}),
                timeout=httpx2.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
                trust_env=urlsplit(url).hostname not in _LOOPBACK,  # no proxy is asked for this very machine
            )
        except (httpx2.InvalidURL, ValueError) as error:
            raise ConfigurationError(say("client.bad_url", url=url)) from error

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The API that API_URL, or HOST and PORT, name; with API_TOKEN where it is set."""
        return cls(settings.api_address, settings.api_token.get_secret_value() if settings.api_token else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(self, body: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Submit a generation under an Idempotency-Key, so that a lost answer can be asked for again."""
        return dict(self._again("POST", "/api/generation", json=body, headers={"Idempotency-Key": key}).json())

    def job(self, job_id: str) -> dict[str, Any]:
        """The job resource."""
        return dict(self._again("GET", f"/api/generation/{quote(job_id, safe='')}").json())

    def result(self, job_id: str, file_format: str) -> bytes:
        """The text that a completed job left, as `markdown`, `fountain`, `docx` or `json`."""
        path = f"/api/generation/{quote(job_id, safe='')}/result"
        return self._again("GET", path, params={"format": file_format}).content

    def upload(self, path: Path, project_id: str, key: str, *, multimodal: bool = False) -> dict[str, Any]:
        """Upload one document under an Idempotency-Key."""
        fields = {"container_id": in_utf8(project_id), **({"use_multimodal": "true"} if multimodal else {})}
        with path.open("rb") as file:  # a second try begins at its beginning again
            files: dict[str, tuple[str, BinaryIO]] = {"file": (in_utf8(path.name), file)}
            answer = self._again(
                "POST",
                "/api/v1/documents/upload",
                files=files,
                data=fields,
                headers={"Idempotency-Key": key},
            )
        return dict(answer.json())

    def document_status(self, document_id: str) -> dict[str, Any]:
        """How far reading a document has come."""
        return dict(self._again("GET", f"/api/v1/documents/{quote(document_id, safe='')}/status").json())

    def upload_program(self, form: ProgramForm, key: str) -> dict[str, Any]:
        """Upload a batch of files under an Idempotency-Key, read from disk while they are sent."""
        headers = {"Idempotency-Key": key, "Content-Type": form.content_type}
        return dict(self._again("POST", "/v1/programs", content=form, headers=headers).json())

    def look(self, *path: str, **params: Any) -> dict[str, Any]:
        """What is at this address: asked for again while nobody answers."""
        return dict(self._again("GET", _address(path), params=_given(params)).json())

    def pages(self, *path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """The items of a list, page after page."""
        cursor: str | None = None
        while True:
            page = self.look(*path, **params, limit=_PAGE, cursor=cursor)
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def act(self, method: str, *path: str, **params: Any) -> dict[str, Any]:
        """Have something done, once. An answer that is held (`wait`) is waited for."""
        timeout = httpx2.Timeout(_ANSWER_SECONDS + (params.get("wait") or 0), connect=_CONNECT_SECONDS)
        return dict(self._request(method, _address(path), params=_given(params), timeout=timeout).json())

    @contextmanager
    def events(self, job_id: str, after: int) -> Iterator[Iterator[httpx2.ServerSentEvent] | None]:
        """Open a job's event stream behind event `after`; None where the job has ended and there is nothing more."""
        path = f"/api/generation/{quote(job_id, safe='')}/events"
        timeout = httpx2.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS)
        with (
            self._translated(),
            self._http.sse(path, headers={"Last-Event-ID": str(after)} if after else {}, timeout=timeout) as source,
        ):
            if source.response.is_error:
                source.response.read()
                raise _problem(source.response)
            yield None if source.response.status_code == httpx2.codes.NO_CONTENT else iter(source)

    def _again(self, method: str, path: str, **arguments: Any) -> httpx2.Response:
        """As `_request`, for what may be sent twice: tried again while nobody answers."""
        for pause in _PAUSES_LATER if self.answered else _PAUSES_AT_FIRST:
            try:
                return self._request(method, path, **arguments)
            except TransientError:
                time.sleep(pause)
        return self._request(method, path, **arguments)

    def _request(self, method: str, path: str, **arguments: Any) -> httpx2.Response:
        with self._translated():
            answer = self._http.request(method, path, **arguments)
        self.answered = True
        if answer.is_error:
            raise _problem(answer)
        return answer

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
            raise ConfigurationError(say("client.bad_url", url=self.url)) from error
        except httpx2.TransportError as error:
            reason = say("client.timed_out") if isinstance(error, httpx2.TimeoutException) else type(error).__name__
            raise TransientError("api_unreachable", say("client.unreachable", url=self.url, reason=reason)) from error


def _address(path: Sequence[str]) -> str:
    """The first part as it is, the others as they may come from a person."""
    return "/".join([path[0], *(quote(part, safe="", errors="replace") for part in path[1:])])


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in params.items() if value is not None}
    return {name: in_utf8(value) if isinstance(value, str) else value for name, value in given.items()}


def _problem(answer: httpx2.Response) -> ApiProblem:
    try:
        details = answer.json()
    except ValueError:
        details = None
    details = details if isinstance(details, dict) else {}  # a proxy in between speaks HTML
    waited = answer.headers.get("Retry-After", "")
    return ApiProblem(
        answer.status_code,
        str(details.get("code") or f"http_{answer.status_code}"),
        _message(details, answer.status_code),
        float(waited) if waited.isdecimal() else None,
    )


def _message(details: Mapping[str, Any], status: int) -> str:
    """The problem's sentence, with what was not found before it and each value that is not taken below it."""
    title, detail = details.get("title"), details.get("detail")
    said = str(detail or title or say("client.no_details", status=status))
    if status == httpx2.codes.NOT_FOUND and title and detail:
        said = f"{title}. {detail}"
    listed = details.get("errors")
    errors = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return "\n".join([said, *(f"  {one.get('pointer', '')}: {one.get('detail', '')}" for one in errors)])
