"""A process that is switched off does nothing until the switch is over, and holds up nobody who waits for it."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import insert

from generation_service.cli import standby
from generation_service.database import Database, db_now
from generation_service.database.operations import worker_mode
from tests.support.settings import SettingsFor


class Asked:
    """Somebody who asks a process to end, after so many looks."""

    def __init__(self, looks: int) -> None:
        self.looks = 0
        self._most = looks

    def is_set(self) -> bool:
        return self.looks >= self._most

    def wait(self, _seconds: float) -> bool:
        self.looks += 1
        return self.is_set()


@pytest.mark.parametrize(("enabled", "looks"), [(False, 4), (True, 0)])
def test_it_waits_while_nobody_wants_it_and_not_once_it_is_to_end_or_to_work(
    sqlite_url: str, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch, *, enabled: bool, looks: int
) -> None:
    monkeypatch.setattr(standby, "_CALM_SECONDS", 3600.0)
    database = Database(sqlite_url)
    said = {"epoch": 1, "backend": "rq", "enabled": enabled, "carry": "nothing", "since": db_now()}
    by = {"said_by": "ana", "reason": "a test", "source": "operator"}
    database.write_now(lambda connection: connection.execute(insert(worker_mode).values(**said, **by)))
    database.close()
    asked = Asked(4)

    standby._let_the_switch_end(settings_for(database_url=sqlite_url), cast("Any", SimpleNamespace(asked=asked)))

    assert asked.looks == looks
