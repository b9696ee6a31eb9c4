"""The rehearsal of a restart: a child reads the configuration anew, builds the application, and says why it cannot.

It gets what a new process of the API gets: the environment of the supervisor, the `.env` of the working
directory as it is now, and the code as it lies there now. Nothing that it finds out changes this process.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

_log = logging.getLogger(__name__)

_PROGRAM = "generation_service.cli.rehearsal"  # by its name: what is rehearsed must not be loaded here
_LONGEST_SECONDS = 60.0
_MOST_BYTES = 64 * 1024
_MOST_LINES = 50


async def rehearse(longest_seconds: float = _LONGEST_SECONDS) -> Sequence[str]:
    """The lines that say why a new process would not start; none: it would."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", _PROGRAM),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(longest_seconds):
            said = await _read(child)
            code = await child.wait()
    except TimeoutError:
        return [f"a new process was not ready within {longest_seconds:g} seconds"]
    finally:
        await _end(child)
    if code == 0:
        return []
    lines = said.decode(errors="replace").splitlines()[:_MOST_LINES]
    return lines or [f"a new process ended with exit code {code}"]


async def _read(child: asyncio.subprocess.Process) -> bytes:
    said = b""
    while child.stdout is not None and (piece := await child.stdout.read(_MOST_BYTES)):
        said = (said + piece)[:_MOST_BYTES]
    return said


async def _end(child: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):  # the group is gone when its last member is
        os.killpg(child.pid, signal.SIGKILL)
    await child.wait()
