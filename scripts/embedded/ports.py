"""Free ports and ports in use, on the loopback interface."""

import errno
import random
import socket

LOOPBACK = "127.0.0.1"
# Below what systems hand out to outgoing connections (from 32768 on): one of those may take a port between two looks.
_PORTS = range(12_000, 32_000)


def free_port() -> int:
    """A port nobody listens on now; somebody else may be faster, so who uses it must be ready to ask again."""
    return next(port for port in random.sample(_PORTS, k=len(_PORTS)) if not is_taken(port))


def is_taken(port: int, host: str = LOOPBACK) -> bool:
    """Whether another server listens on `port` of `host` now, so that none could be started there."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:  # no such host: whoever starts the server says so
        return False
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            return error.errno == errno.EADDRINUSE
        return False
