"""What both migration scripts do: move, say how far they are, and print what came of it."""

import argparse
from typing import TYPE_CHECKING

from scripts.tool import DONE, LEFT, say, show, show_json, tell

if TYPE_CHECKING:
    from generation_service.bootstrap import Runtime
    from generation_service.jobs.model import Backend
    from generation_service.switching.migration import MigrationResult

RUNNING = ("--include-running", "migration.help.running")


async def migrate(runtime: "Runtime", asked: argparse.Namespace, *, source: "Backend", target: "Backend") -> int:
    """Move, print, and say by the exit code whether something is left.

    With RQ the target, that Redis could not be reached is something left: those jobs wait for it. With RQ
    the source it is not: stale deliveries harm nothing, since a claim refuses them.
    """
    done = await runtime.operations.migration.run(
        source,
        target,
        include_running=asked.include_running,
        dry_run=asked.dry_run,
        by=runtime.process,
        tell=lambda result: tell(say("migration.moving", migrated=result.migrated)),
    )
    if asked.json:
        show_json(done.as_json())
    else:
        _show(done)
    if done.redis != "ok":
        tell(say(f"migration.redis.{done.redis}"))
    return LEFT if done.remaining or (target == "rq" and done.redis != "ok") else DONE


def _show(done: "MigrationResult") -> None:
    for key in ("would_move" if done.dry_run else "moved", "stayed", "tidied"):
        show(say(f"migration.{key}", **done.as_json()))
