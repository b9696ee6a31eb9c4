"""One POST to a webhook: bounded in time, and what went wrong is said without the address, which may hold a token."""

import asyncio
from typing import Any

import httpx2

TRY_SECONDS = 5.0


async def post(url: str, body: Any, *, key: str) -> str | None:
    """Post `body` as JSON under the Idempotency-Key `key`; None, or what went wrong. Never raises."""
    try:
        async with (
            asyncio.timeout(TRY_SECONDS),
            httpx2.AsyncClient(follow_redirects=False) as client,
            # Only the status is waited for: what else the other side has to say is not read.
            client.stream("POST", url, json=body, headers={"Idempotency-Key": key}) as answer,
        ):
            return None if answer.is_success else f"it answered {answer.status_code}"
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, TimeoutError) as error:
        return type(error).__name__
