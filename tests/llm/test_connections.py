"""How the calls of a process share the clients that carry them."""

from collections.abc import AsyncIterator
from contextlib import ExitStack

import httpx2
import pytest

from generation_service.llm.connections import CALLS_A_CLIENT, IDLE_SECONDS, Connections

_SHORTEST_OF_SERVERS_SECONDS = 2.0  # gunicorn keeps an idle connection this long, others longer


class Made(list[httpx2.AsyncClient]):
    """Every client that was made, and the limits of the last."""

    limits = httpx2.Limits()

    def __call__(self, limits: httpx2.Limits) -> httpx2.AsyncClient:
        self.limits = limits
        self.append(httpx2.AsyncClient(limits=limits))
        return self[-1]


@pytest.fixture
def made() -> Made:
    return Made()


@pytest.fixture
async def connections(made: Made) -> AsyncIterator[Connections]:
    opened = Connections(made)
    yield opened
    await opened.aclose()


async def test_calls_after_each_other_keep_to_one_client(connections: Connections, made: Made) -> None:
    for _ in range(40):
        with connections.client():
            pass

    assert len(made) == 1


async def test_no_client_carries_more_calls_than_it_may(connections: Connections, made: Made) -> None:
    with ExitStack() as calls:
        carried = [calls.enter_context(connections.client()) for _ in range(200)]

    assert [carried.count(client) for client in made] == [CALLS_A_CLIENT] * 25


async def test_a_call_takes_the_place_of_one_that_has_ended(connections: Connections, made: Made) -> None:
    with ExitStack() as calls:
        first = calls.enter_context(connections.client())
        for _ in range(CALLS_A_CLIENT - 1):
            calls.enter_context(connections.client())
        calls.close()
        assert calls.enter_context(connections.client()) is first

    assert len(made) == 1


async def test_a_call_that_fails_gives_its_place_back(connections: Connections, made: Made) -> None:
    for _ in range(40):
        with pytest.raises(ConnectionError), connections.client():
            raise ConnectionError

    assert len(made) == 1


async def test_an_idle_connection_is_left_before_a_server_closes_it(connections: Connections, made: Made) -> None:
    with connections.client():
        pass

    assert made.limits.keepalive_expiry == IDLE_SECONDS < _SHORTEST_OF_SERVERS_SECONDS


async def test_all_are_closed_at_the_end(connections: Connections, made: Made) -> None:
    with ExitStack() as calls:
        for _ in range(CALLS_A_CLIENT + 1):
            calls.enter_context(connections.client())

    await connections.aclose()

    assert [client.is_closed for client in made] == [True, True]
