"""Who is asking: a bearer token, or for event streams a cookie that a one-use ticket was exchanged for."""

import base64
import hmac
import json
import re
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from generation_service.api import tickets
from generation_service.api.ports import runtime_of
from generation_service.errors import Refused

LOCAL_USER = "local"
COOKIE = "generation_stream"
COOKIE_SECONDS = 12 * 3600

_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)


class Identity:
    """Knows callers by the tokens of API_TOKENS (token -> user id); None: everyone is the user `local`."""

    def __init__(self, tokens: Mapping[str, str] | None) -> None:
        self._tokens = {token.encode(): user for token, user in tokens.items()} if tokens else None
        # A cookie is worth as much as the tokens it stands for, and ends with them.
        secret = json.dumps(sorted((tokens or {}).items())).encode()
        self._cookie_key = hmac.digest(secret, b"generation-service stream cookie", "sha256")

    @property
    def is_open(self) -> bool:
        """Whether no token is needed."""
        return self._tokens is None

    def user_of_header(self, authorization: str | None) -> str | None:
        """The user of an Authorization header; None where it is not one of ours."""
        if self._tokens is None:
            return LOCAL_USER
        found = _BEARER.fullmatch(authorization or "")
        given = found.group(1).encode("latin-1", "replace") if found else b""
        # Every token is compared, so that the time taken tells nothing.
        users = [user for token, user in self._tokens.items() if hmac.compare_digest(token, given)]
        return users[0] if users else None

    def make_cookie(self, user_id: str) -> str:
        """The value of a cookie that lets `user_id` read event streams for 12 hours."""
        name = base64.urlsafe_b64encode(user_id.encode()).decode().rstrip("=")
        said = f"{name}.{int(time.time()) + COOKIE_SECONDS}"
        return f"{said}.{self._signature(said)}"

    def user_of_cookie(self, cookie: str | None) -> str | None:
        """The user of such a cookie; None where it is none of ours, or too old."""
        said, _, signature = (cookie or "").rpartition(".")
        if not hmac.compare_digest(self._signature(said).encode(), signature.encode("latin-1", "replace")):
            return None
        name, _, until = said.partition(".")
        if int(until) < time.time():
            return None
        return base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()

    def _signature(self, said: str) -> str:
        return hmac.new(self._cookie_key, said.encode("latin-1", "replace"), sha256).hexdigest()


async def caller(request: Request) -> str:
    """The user id of whoever asks. Raises Refused `unauthorized` (401)."""
    identity: Identity = request.app.state.identity
    user = identity.user_of_header(request.headers.get("authorization"))
    if user is None:
        raise unauthorized()
    return user


def unauthorized() -> Refused:
    """The refusal of a request that says nothing, or nothing true, about who asks."""
    return Refused("unauthorized", 401, headers={"WWW-Authenticate": 'Bearer realm="generation-service"'})


class StreamCaller:
    """Who reads an event stream, and the cookie that a ticket was exchanged for: a dependency.

    EventSource sends no header, and comes back to the same address with a ticket that is used up: so
    its first use sets a cookie. The API's own token is never taken from the address.
    """

    def __init__(self, user_id: str, cookie: str | None = None) -> None:
        self.user_id = user_id
        self.cookie = cookie

    @classmethod
    async def of(cls, request: Request) -> "StreamCaller":
        """Find out by header, ticket or cookie. Raises Refused `unauthorized` (401)."""
        identity: Identity = request.app.state.identity
        user = identity.user_of_header(request.headers.get("authorization"))
        if user is not None:
            return cls(user)
        ticket = request.query_params.get("ticket")
        user = await tickets.redeem(runtime_of(request).database, ticket) if ticket else None
        if user is not None:
            return cls(user, identity.make_cookie(user))
        user = identity.user_of_cookie(request.cookies.get(COOKIE))
        if user is None:
            raise unauthorized()
        return cls(user)

    def mark(self, response: Response, request: Request) -> Response:
        """Let the answer set the cookie, where there is one to set."""
        if self.cookie is not None:
            secure = request.url.scheme == "https"
            response.set_cookie(
                COOKIE, self.cookie, COOKIE_SECONDS, path="/api", secure=secure, httponly=True, samesite="strict"
            )
        return response


Caller = Annotated[str, Depends(caller)]
StreamReader = Annotated[StreamCaller, Depends(StreamCaller.of)]
