"""The whole application of one API process with an admin token, and an operator who calls it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from generation_service import bootstrap
from generation_service.api.application import create_app
from generation_service.bootstrap import Runtime
from generation_service.errors import DatabaseUnavailable
from generation_service.settings import Settings
from generation_service.switching import audit, state
from tests.support.settings import SettingsFor

TOKEN = "operators-only"
BODY: dict[str, Any] = {"project_id": "harbour", "episode_data": {"title": "The letter"}}


@dataclass
class Operator:
    """Calls the admin API of an application that runs; `http` sends the token by itself."""

    app: FastAPI
    runtime: Runtime
    http: httpx2.AsyncClient

    async def get(self, path: str, **params: Any) -> dict[str, Any]:
        answer = await self.http.get(f"/api/admin/{path}", params=params)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def post(self, path: str, status: int = 200, /, **body: Any) -> dict[str, Any]:
        answer = await self.http.post(f"/api/admin/{path}", json=body)
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    async def submit(self, **body: Any) -> dict[str, Any]:
        answer = await self.http.post("/api/generation", json={**BODY, **body})
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    async def audited(self, action: str) -> list[dict[str, Any]]:
        """What the audit says of an action, the oldest first."""
        page = await self.runtime.database.read(lambda connection: audit.page(connection, limit=500, cursor=None))
        return [dict(row) for row in reversed(page.items) if row["action"] == action]


@asynccontextmanager
async def operating(settings: Settings) -> AsyncIterator[Operator]:
    """An application over these settings, started, with an operator at it."""
    runtime = bootstrap.build(settings, "api")
    app = create_app(runtime)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False, client=("10.0.0.7", 4711))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://service", headers=headers) as http,
    ):
        yield Operator(app, runtime, http)


@pytest.fixture
async def operator(settings_for: SettingsFor, database_url: str) -> AsyncIterator[Operator]:
    """An operator of a service on either database; nobody listens where its Redis should be."""
    async with operating(settings_for(database_url=database_url, admin_token=TOKEN)) as found:
        yield found


@pytest.fixture
async def small_operator(settings_for: SettingsFor, sqlite_url: str) -> AsyncIterator[Operator]:
    """The same on SQLite, where the database does not matter."""
    async with operating(settings_for(database_url=sqlite_url, admin_token=TOKEN)) as found:
        yield found


@pytest.fixture
def fail_writes(
    small_operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., AbstractContextManager[None]]:
    """Within the context, writes fail as if the database were gone, but for the first `after` of an operator."""

    @contextmanager
    def failing(after: int = 0) -> Iterator[None]:
        database = small_operator.runtime.database
        write, left = database.write, after

        async def refuse(unit: Any) -> Any:
            nonlocal left
            if getattr(unit, "func", None) not in {audit.record, audit.record_bounded, state.apply}:
                return await write(unit)  # upkeep of the process itself
            if left:
                left -= 1
                return await write(unit)
            raise DatabaseUnavailable("the database did not answer")

        with monkeypatch.context() as patch:
            patch.setattr(database, "write", refuse)
            yield

    return failing
