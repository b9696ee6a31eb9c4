"""The operations of one process: what an operator, or a trigger, can ask of it; each part is built once."""

from dataclasses import dataclass

from generation_service.database import Database
from generation_service.settings import Settings
from generation_service.switching.ledger import Ledger
from generation_service.switching.migration import Migration
from generation_service.switching.processes import Processes
from generation_service.switching.restarts import Restarts
from generation_service.switching.switchover import Switchover
from generation_service.switching.sync import StatusSync
from generation_service.switching.triggers import Triggers


@dataclass(kw_only=True)
class Operations:
    """The parts by name; see the module of each."""

    settings: Settings
    database: Database
    process: str  # this process's name, as `processes` and holders have it
    migration: Migration
    sync: StatusSync
    ledger: Ledger
    processes: Processes
    restarts: Restarts
    switchover: Switchover
    triggers: Triggers
