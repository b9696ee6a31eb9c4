"""A uvicorn server that a thread of the tests runs."""

import asyncio
import socket

import uvicorn


def run(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve until `server.should_exit`; then cut what is still connected, so that nothing is left to be collected."""
    asyncio.run(serve(server, listener))


async def serve(server: uvicorn.Server, listener: socket.socket) -> None:
    """As `run`, on the running event loop."""
    await server.serve(sockets=[listener])
    await asyncio.sleep(0)  # whoever was just accepted is one of its connections by now
    for connection in list(server.server_state.connections):
        connection.transport.abort()
    await asyncio.sleep(0)  # they hear of it
