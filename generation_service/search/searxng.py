"""Search through a SearXNG server, whose address comes from the settings alone."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx2

from generation_service.errors import PermanentError, ServiceError, TransientError
from generation_service.search.model import Hit, cleaned
from generation_service.texts import Language

_MOST_BYTES = 2 * 1024 * 1024
_LONGEST_QUERY = 300


class SearxngSearch:
    """GET {base}/search?format=json. The server must list `json` under `search.formats`, or it answers 403."""

    name = "searxng"

    def __init__(self, base_url: str, timeout_seconds: float = 10.0) -> None:
        # No redirects: an answer must not choose where the next request goes.
        self._client = httpx2.AsyncClient(timeout=timeout_seconds, follow_redirects=False)
        self._timeout_seconds = timeout_seconds
        self._url = base_url.rstrip("/") + "/search"

    async def search(self, query: str, limit: int, language: Language) -> Sequence[Hit]:
        parameters = {"q": query[:_LONGEST_QUERY], "format": "json", "language": language}
        found = await self._asked(parameters)
        results = found.get("results") if isinstance(found, dict) else None
        hits = (cleaned(item) for item in results or () if isinstance(item, dict))
        return [hit for hit in hits if hit][:limit]

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _asked(self, parameters: dict[str, str]) -> Any:
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),  # of the whole: a server may drip without end
                self._client.stream("GET", self._url, params=parameters) as response,
            ):
                if response.status_code != httpx2.codes.OK:
                    raise _refusal(response.status_code)
                return json.loads(await _capped(response))
        except (httpx2.TransportError, TimeoutError) as error:
            raise TransientError("search_unreachable", "the search server did not answer") from error
        except ValueError as error:
            raise TransientError("search_unreadable", "the search server answered what is not JSON") from error


def _refusal(status: int) -> ServiceError:
    if status >= 500 or status in {408, 429}:  # noqa: PLR2004 - the class of server errors
        return TransientError("search_unavailable", f"the search server answered {status}")
    return PermanentError("search_refused", f"the search server answered {status}; does it allow format=json?")


async def _capped(response: httpx2.Response) -> bytes:
    body = b""
    async for block in response.aiter_bytes():
        body += block
        if len(body) > _MOST_BYTES:
            raise TransientError("search_too_large", "the search server's answer is too large")
    return body
