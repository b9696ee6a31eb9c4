"""Move the jobs of RQ to in-process execution: `python -m scripts.migrate_rq_to_background`, or as a file.

--dry-run first. It may be killed at any line and run again: twice equals once.
Undone by a roll-forward and migrate_background_to_rq.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from scripts.afresh import as_module

    as_module(__file__)

from scripts import tool
from scripts.migrating import RUNNING, migrate


def main(arguments: Sequence[str] | None = None) -> int:
    """Migrate; 0 done, 1 something is left, 2 wrong use."""
    body = partial(migrate, source="rq", target="background_tasks")
    return tool.run("migrate_rq_to_background", "migration.help.to_background", body, arguments, RUNNING)


if __name__ == "__main__":
    sys.exit(main())
