"""Who may administer, and what the audit is told: every admin route goes through here.

A call that changes something has two entries. The first, `begun`, is committed before anything is done:
where it cannot be, nothing is. The second says what came of it; should it be lost, the first still shows
who began what, and why. A call that only reads, or only previews, has one, and so has one without the token.
"""

import hmac
import logging
import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, ClassVar, TypeVar

from fastapi import Depends
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from generation_service.api.admin.journal import Journal
from generation_service.api.answers import answer
from generation_service.api.auth import unauthorized
from generation_service.api.bodies import json_body
from generation_service.api.requests import checked
from generation_service.errors import DatabaseUnavailable, Refused, ServiceError
from generation_service.jobs.model import Json
from generation_service.switching.audit import Entry
from generation_service.telemetry import current_fields

_log = logging.getLogger(__name__)

_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)
_WRONG_TOKENS_A_MINUTE = 10
_READS_A_MINUTE = 30  # of one route: who looks every few seconds is not to fill the audit


class AdminBody(BaseModel):
    """What the bodies of admin calls have in common."""

    model_config = ConfigDict(extra="forbid", strict=True)
    unaudited: ClassVar[frozenset[str]] = frozenset()  # fields that the audit is not told

    reason: str = Field("", max_length=1000, description="why; kept in the audit")
    dry_run: Annotated[bool, Field(description="only say what would be done")] = False


Body = TypeVar("Body", bound=AdminBody)


class AdminToken:
    """Knows the one token; compares in constant time."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def is_in(self, authorization: str | None) -> bool:
        """Whether an Authorization header holds it."""
        found = _BEARER.fullmatch(authorization or "")
        given = found.group(1).encode("latin-1", "replace") if found else b""
        return hmac.compare_digest(self._token, given)


class Call:
    """One call of an admin route, as its audit tells it."""

    def __init__(self, request: Request, action: str) -> None:
        self.request = request
        self.actor = f"admin@{request.client.host if request.client else 'local'}"
        self._action = action
        self._journal: Journal = request.app.state.journal
        self._reason = ""
        self._asked: dict[str, Json] = {**request.path_params, "request_id": current_fields().get("request_id")}
        self._result: dict[str, Json] = {}
        self._begun = 0  # the number of the first entry; 0: nothing was begun
        self._previews = False

    async def begin(self, model: type[Body], *, required: bool = False) -> Body:
        """Read the body and, unless it is a dry run, enter that this call begins.

        Raises Refused for a body that is not taken, DatabaseUnavailable where nothing may be done.
        """
        wanted = checked(await json_body(self.request, required=required, any_type=True), model)
        self._reason, self._previews = wanted.reason.strip(), wanted.dry_run
        self._asked |= wanted.model_dump(mode="json", exclude={"reason", *model.unaudited}, exclude_none=True)
        if not self._previews:
            self._begun = await self._journal.write(self._entry("begun"))
        return wanted

    def answer(self, content: dict[str, Json], status: int = 200, **headers: str) -> Response:
        """Answer, and let the audit have what was answered."""
        self._result = content
        return answer(content, status, headers)

    async def refuse(self) -> None:
        """Enter that this call had no token; a database that is away must not tell more than the refusal does."""
        _log.warning("An admin call without the token", extra={"action": "unauthorized", "route": self._action})
        entry = self._entry("unauthorized")
        try:
            await self._journal.note(entry, kind="unauthorized", limit=_WRONG_TOKENS_A_MINUTE)
        except DatabaseUnavailable as error:
            _log.warning("The audit could not be written: %s", error, extra={"action": "audit_failed"})

    async def end(self) -> None:
        """Enter what came of this call. Raises DatabaseUnavailable for one that only read."""
        if self._begun:
            await self._write_surely(self._entry("done"))
        elif self._previews:
            await self._journal.write(self._entry("previewed"))
        else:
            items = self._result.get("items")  # what was read is where it was read; how much says enough
            self._result = {"items": len(items)} if isinstance(items, list) else {}
            entry = self._entry("read")
            await self._journal.note(entry, kind=f"read:{self._action}", limit=_READS_A_MINUTE)

    async def fail(self, error: Exception) -> None:
        """Enter that this call was refused, or failed."""
        refused = isinstance(error, (Refused, RequestValidationError))
        code = error.code if isinstance(error, ServiceError) else type(error).__name__
        self._result = {"code": code}
        await self._write_surely(self._entry("refused" if refused else "failed"))

    async def _write_surely(self, entry: Entry) -> None:
        """Write what follows from something that cannot be undone any more: that stands without it, too."""
        try:
            await self._journal.write(entry)
        except DatabaseUnavailable as error:
            extra = {"action": "audit_failed", "audited": self._action, "begun": self._begun}
            _log.error("What came of an admin call could not be entered: %s", error, extra=extra)

    def _entry(self, outcome: str) -> Entry:
        begun = {"begun": self._begun} if self._begun else {}
        return Entry(
            actor=self.actor,
            action=self._action,
            reason=self._reason,
            request=self._asked,
            outcome=outcome,
            result=begun | self._result,
        )


class AdminRoute(APIRoute):
    """A route that only the admin token opens, and that the audit is told of; its function's name is the action."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            call = Call(request, self.name)
            token: AdminToken = request.app.state.admin_token
            if not token.is_in(request.headers.get("authorization")):
                await call.refuse()
                raise unauthorized()
            request.state.admin_call = call
            try:
                response = await handle(request)
            except Exception as error:
                await call.fail(error)
                raise
            await call.end()
            return response

        return guarded


async def _call_of(request: Request) -> Call:
    call: Call = request.state.admin_call
    return call


AdminCall = Annotated[Call, Depends(_call_of)]


def documented(model: type[AdminBody], example: dict[str, Json], *, required: bool = False) -> dict[str, Any]:
    """What the API documentation shows of a body that is read by hand."""
    content = {"schema": model.model_json_schema(), "example": example}
    return {"requestBody": {"required": required, "content": {"application/json": content}}}
