"""No network in tests: the sockets of this process reach loopback addresses and unix sockets only.

What connects without Python's sockets is not seen: libpq, obstore, uvloop, and the processes that tests start.
"""

import contextlib
import socket
import sys
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

_FAMILIES = frozenset({socket.AF_INET, socket.AF_INET6})
_SENDING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_LOOKING_UP = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})


class NetworkForbidden(RuntimeError):
    """A test wanted to reach another machine. No OSError: nobody is to take it for a server that is away."""


def forbid_network() -> None:
    """Refuse the network to this process from now on; there is no way back (PEP 578)."""
    sys.addaudithook(_look)


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _SENDING:
        opened, address = arguments
        if address is not None and opened.family in _FAMILIES:
            _check(address[0], is_allowed=_is_loopback)
    elif event in _LOOKING_UP:
        _check(arguments[0], is_allowed=lambda address: True)  # an address is looked up without asking anybody


def _check(host: str | bytes | None, is_allowed: Callable[[Address], bool]) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if not name or name == "localhost":
        return
    with contextlib.suppress(ValueError):
        if is_allowed(ip_address(name)):
            return
    raise NetworkForbidden(f"a test may reach loopback addresses and unix sockets only, not {name}")


def _is_loopback(address: Address) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
