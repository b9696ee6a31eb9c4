"""Tests reach nothing but this machine."""

import asyncio
import socket
from pathlib import Path

import httpx2
import pytest

from tests.support.network import NetworkForbidden
from tests.support.provider import Provider


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("192.0.2.1", 9)),
        (socket.AF_INET6, ("2001:db8::1", 9)),
        (socket.AF_INET6, ("::ffff:192.0.2.1", 9)),
    ],
)
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["stream", "datagram"])
def test_another_machine_is_refused_and_named(
    family: socket.AddressFamily, kind: socket.SocketKind, address: tuple[str, int]
) -> None:
    with socket.socket(family, kind) as opened:
        opened.settimeout(0.1)
        with pytest.raises(NetworkForbidden, match=address[0]):
            opened.connect(address)


def test_a_datagram_without_a_connection_is_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened, pytest.raises(NetworkForbidden):
        opened.sendto(b"", ("192.0.2.1", 9))


async def test_asyncio_and_its_http_clients_are_refused_too() -> None:
    with pytest.raises(NetworkForbidden, match=r"192\.0\.2\.1"):
        await asyncio.open_connection("192.0.2.1", 9)
    async with httpx2.AsyncClient(trust_env=False) as client:
        with pytest.raises(NetworkForbidden, match=r"example\.org"):
            await client.get("http://example.org/")


def test_a_name_is_not_looked_up() -> None:
    with pytest.raises(NetworkForbidden, match=r"example\.org"):
        socket.getaddrinfo("example.org", 80)


def test_this_machine_is_reached_by_address_by_name_and_by_unix_socket(provider: Provider, tmp_path: Path) -> None:
    port = int(provider.url.rpartition(":")[2])
    for host in ("127.0.0.1", "localhost"):
        socket.create_connection((host, port)).close()

    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as calling:
        listening.bind(path)
        listening.listen()
        calling.connect(path)
