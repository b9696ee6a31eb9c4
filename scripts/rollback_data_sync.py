"""Bring RQ's view and the database together: `python -m scripts.rollback_data_sync` (or as a file).

The database is right, whatever RQ says: no status is copied from Redis. There is nothing to undo, since
only deliveries and traces change. --dry-run first; twice equals once.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from scripts.afresh import as_module

    as_module(__file__)

from typing import TYPE_CHECKING

from scripts import tool
from scripts.tool import DONE, LEFT, say, show, show_json, tell

if TYPE_CHECKING:
    from generation_service.bootstrap import Runtime


async def synchronise(runtime: "Runtime", asked: argparse.Namespace) -> int:
    """Compare and print; what could not be compared, because Redis was away, is left."""
    report = await runtime.operations.sync.run(dry_run=asked.dry_run)
    told = report.as_json()
    if asked.json:
        show_json(told)
    else:
        show(say("migration.synced", **told))
        for one in told["differences"]:
            show(f"{one['count']:>7}  {say('difference.' + one['difference'])}")
    if report.redis != "ok":
        tell(say(f"migration.redis.{report.redis}"))
    return DONE if report.redis == "ok" else LEFT


def main(arguments: Sequence[str] | None = None) -> int:
    """Synchronise; 0 done, 1 something is left, 2 wrong use."""
    return tool.run("rollback_data_sync", "migration.help.sync", synchronise, arguments)


if __name__ == "__main__":
    sys.exit(main())
