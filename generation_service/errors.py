"""The one error tree: what went wrong, under a stable code, and whether trying again can help.

ServiceError                 everything this project raises on purpose
├── Refused                  the caller must change something (HTTP 4xx or 503); nothing was stored
├── TransientError           trying again later can help; the job layer retries it
│   └── DatabaseUnavailable  the database did not answer, or a commit's answer was lost
├── PermanentError           trying again cannot help; the job fails at once
│   └── Deferred             it could help later, but when is not the job's to say: it fails at once
├── Fenced                   this run no longer holds its job; an answer, not a failure
└── ConfigurationError       a setting or the schema is wrong; one line says what to change
"""

from collections.abc import Mapping


class ServiceError(Exception):
    """Base of the tree. `code` is stable and for programs, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Refused(ServiceError):
    """A request that is turned away before anything was stored.

    `code` names a text in `generation_service.texts` (key `problem.<code>`), `status` is the HTTP
    status, `params` fill the text (never what the caller sent), `headers` go with the answer.
    """

    def __init__(
        self,
        code: str,
        status: int,
        *,
        params: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code, code)
        self.status = status
        self.params = dict(params or {})
        self.headers = dict(headers or {})


class TransientError(ServiceError):
    """Something outside failed in a way that passes; `retry_after` is in seconds, if it was told."""

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(code, message)
        self.retry_after = retry_after


class DatabaseUnavailable(TransientError):
    """The database could not be reached, or whether a commit happened is unknown."""

    def __init__(self, message: str) -> None:
        super().__init__("database_unavailable", message)


class PermanentError(ServiceError):
    """Something that no retry can mend: bad credentials, a policy refusal, unusable input."""

    retryable = False


class Deferred(PermanentError):
    """Something that passes, in a job whose kind decides itself when it is tried again."""

    retryable = True


class DatabaseClosed(DatabaseUnavailable):
    """This process has closed its database: to try again helps nobody."""


class Fenced(ServiceError):
    """The job was cancelled, rescued, released or switched since this run claimed it."""

    def __init__(self, job_id: str, fence: int) -> None:
        super().__init__("fenced", f"job {job_id} is no longer held under fence {fence}")
        self.job_id = job_id
        self.fence = fence


class ConfigurationError(ServiceError):
    """The process cannot start as configured; the message is the one line that is printed."""

    def __init__(self, message: str) -> None:
        super().__init__("configuration", message)
