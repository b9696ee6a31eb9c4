"""The operations of one process: what an operator, or a trigger, can ask of it; each part is built once."""

from dataclasses import dataclass

from generation_service.database import Database
from generation_service.settings import Settings


@dataclass(kw_only=True)
class Operations:
    """The parts by name; see the module of each."""

    settings: Settings
    database: Database
    process: str  # this process's name, as `processes` and holders have it
