"""Tells the world outside of an automatic switch: a POST to a webhook, a program that is run; bounded in time."""

import asyncio
import contextlib
import logging

from generation_service.settings import Settings
from generation_service.switching.reports import as_json
from generation_service.switching.switches import Switch
from generation_service.telemetry import webhook

_log = logging.getLogger(__name__)

_TRIES = 3
_PAUSE_SECONDS = 1.0
_COMMAND_SECONDS = 30.0


class Notifier:
    """Tells of switches that nobody has asked for; never raises, and whoever does not listen changes nothing."""

    def __init__(self, settings: Settings) -> None:
        self._webhook_url = settings.rollback_webhook_url
        self._command = settings.rollback_command

    async def tell(self, switch: Switch) -> None:
        """Tell of one that a trigger began; of any other nothing is said."""
        if switch.source == "trigger":
            await asyncio.gather(self._post(switch), self._run(switch))

    async def _post(self, switch: Switch) -> None:
        if self._webhook_url is None:
            return
        for attempt in range(1, _TRIES + 1):
            problem = await webhook.post(self._webhook_url, as_json(switch), key=switch.id)
            if problem is None:
                return
            _log.warning(
                "The webhook was not told of %s (try %d): %s",
                switch.id,
                attempt,
                problem,
                extra={"action": "webhook_failed", "switch_id": switch.id},
            )
            await asyncio.sleep(_PAUSE_SECONDS * attempt)

    async def _run(self, switch: Switch) -> None:
        if self._command is None:
            return
        extra = {"action": "rollback_command", "switch_id": switch.id}
        try:
            child = await asyncio.create_subprocess_exec(
                self._command, switch.id, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
            )
        except OSError as error:
            _log.warning("ROLLBACK_COMMAND could not be run: %s", error.strerror, extra=extra)
            return
        try:
            async with asyncio.timeout(_COMMAND_SECONDS):
                code = await child.wait()
        except TimeoutError:
            _log.warning("ROLLBACK_COMMAND took too long and was ended", extra=extra)
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
            return
        _log.info("ROLLBACK_COMMAND ended with %d", code, extra=extra)
