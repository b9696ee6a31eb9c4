"""Tells of alerts: each is a log line, a count, and a POST to a webhook that is tried again until it is taken."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from generation_service.database import Database, db_now, totals
from generation_service.database.tables import alerts
from generation_service.jobs.loops import Loop
from generation_service.jobs.model import Json
from generation_service.jobs.signs import Signs
from generation_service.telemetry import webhook

_log = logging.getLogger(__name__)

ALERTS_TOTAL = "generation_alerts_total"

_TURN_SECONDS = 2.0
_BATCH = 20
_AT_ONCE = 4
_FIRST_PAUSE_SECONDS = 15.0  # longer than a try: nobody else takes what is being told
_LONGEST_PAUSE_SECONDS = 3600.0
_PATIENCE_SECONDS = 24 * 3600.0
_FEWEST_TRIES = 12  # before it is given up: after a day without any process it was not tried for a day

_IS_DUE = alerts.c.due_at <= db_now()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What somebody is to be told; `tries` were made before."""

    id: str
    type: str
    subject: str
    detail: Json
    created_at: datetime
    tries: int
    given_up: bool  # nobody has taken it for as long as we are patient

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": self.type,
            "subject": self.subject,
            "detail": self.detail,
            "created_at": self.created_at.isoformat(),
        }


class AlertTeller:
    """A loop of every process that lives long: any of them tells what is due, by compare-and-set, at least once."""

    def __init__(self, *, database: Database, webhook_url: str | None, signs: Signs | None = None) -> None:
        self._database = database
        self._due = (signs or Signs(database)).add(select(alerts.c.id).where(_IS_DUE).exists())
        self._webhook_url = webhook_url
        self._loop = Loop(name="alerts", turn=self.tell, pause_seconds=_TURN_SECONDS)

    def start(self) -> None:
        """Start on the running event loop."""
        self._loop.start()

    async def stop(self) -> None:
        """Let what is being told be told, and stop."""
        await self._loop.stop()

    async def tell(self) -> None:
        """Tell a batch of what is due; the rest waits where the process is to stop."""
        due = await self._database.read(_due) if await self._due.look() else []
        for begin in range(0, len(due), _AT_ONCE):
            if self._loop.stopping:
                return
            await asyncio.gather(*(self._tell(alert) for alert in due[begin : begin + _AT_ONCE]))

    async def _tell(self, alert: Alert) -> None:
        # Put off first, told afterwards: a process that is killed in between leaves it due again.
        if not await self._database.write(lambda connection: _take(connection, alert)):
            return
        # Where the log is all there is, each try says it: who was killed after the first may not have come so far.
        if alert.tries == 0 or self._webhook_url is None:
            _log.warning("Alert %s about %s: %s", alert.type, alert.subject, alert.detail, extra=_extra(alert))
        problem = await self._post(alert)
        if problem is None:
            await self._database.write(lambda connection: _close(connection, alert, told=True))
        elif alert.given_up:
            _log.error("Alert %s was taken by nobody: %s", alert.id, problem, extra=_extra(alert, "alert_given_up"))
            await self._database.write(lambda connection: _close(connection, alert, told=False))
        else:
            _log.warning(
                "The webhook was not told of alert %s: %s", alert.id, problem, extra=_extra(alert, "alert_failed")
            )

    async def _post(self, alert: Alert) -> str | None:
        if self._webhook_url is None:
            return None
        return await webhook.post(self._webhook_url, alert.as_json(), key=alert.id)


def _due(connection: Connection) -> Sequence[Alert]:
    tried_enough = alerts.c.tries >= _FEWEST_TRIES
    given_up = ((alerts.c.created_at < db_now(-_PATIENCE_SECONDS)) & tried_enough).label("given_up")
    columns = [alerts.c[name] for name in ("id", "type", "subject", "detail", "created_at", "tries")]
    due = select(*columns, given_up).where(_IS_DUE).order_by(alerts.c.due_at).limit(_BATCH)
    return [Alert(**row._mapping) for row in connection.execute(due)]  # noqa: SLF001 - SQLAlchemy's public name


def _take(connection: Connection, alert: Alert) -> bool:
    """Put it off until after this try; False where somebody else has. Counted with the first."""
    pause = min(_FIRST_PAUSE_SECONDS * 2**alert.tries, _LONGEST_PAUSE_SECONDS)
    mine = (alerts.c.id == alert.id, alerts.c.tries == alert.tries, alerts.c.due_at.is_not(None))
    taken = update(alerts).where(*mine).values(tries=alerts.c.tries + 1, due_at=db_now(pause))
    if connection.execute(taken).rowcount == 0:
        return False
    if alert.tries == 0:
        totals.add(connection, {(ALERTS_TOTAL, (("type", alert.type),)): 1.0})
    return True


def _close(connection: Connection, alert: Alert, *, told: bool) -> None:
    ended = {"due_at": None, "told_at": db_now() if told else None}
    connection.execute(update(alerts).where(alerts.c.id == alert.id).values(**ended))


def _extra(alert: Alert, action: str = "alert") -> dict[str, Any]:
    return {"action": action, "alert_id": alert.id, "alert_type": alert.type, "subject": alert.subject}
