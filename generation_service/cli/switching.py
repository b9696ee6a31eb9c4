"""What `rollback` and `rollforward` share: carrying a switch out, saying each step, and how it ended."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import click

from generation_service.bootstrap import Runtime, build
from generation_service.cli.operating import opened_database
from generation_service.cli.terminal import language, print_json, say
from generation_service.errors import DatabaseUnavailable, Refused
from generation_service.settings import Settings
from generation_service.switching import reports
from generation_service.switching.asked import Rollback, Rollforward
from generation_service.switching.switches import Switch, SwitchKind
from generation_service.switching.switchover import OnStep, ignore
from generation_service.telemetry import configure_logging

FAILED = 1


def carry_out(settings: Settings, wanted: Rollback | Rollforward, *, dry_run: bool, as_json: bool) -> int:
    """Do it, or say what it would do; the exit code: 0 done, 1 something is left, which is named."""
    configure_logging(settings.log_format, "error")  # the lines of the steps are what a person wants to read
    with opened_database(settings):
        pass  # a database that is not there, or whose schema does not fit, is one line, before anything is built
    try:
        return asyncio.run(_carry_out(settings, wanted, dry_run=dry_run, as_json=as_json))
    except DatabaseUnavailable:
        click.echo(say("switch.database_away"), err=True)
        return FAILED


async def _carry_out(settings: Settings, wanted: Rollback | Rollforward, *, dry_run: bool, as_json: bool) -> int:
    async with build(settings, "tool").running() as runtime:
        if dry_run:
            _show_preview(await runtime.operations.switchover.preview(wanted), as_json=as_json)
            return 0
        switch = await _switched(runtime, wanted, ignore if as_json else _Lines().say, quiet=as_json)
    if as_json:
        print_json(reports.as_json(switch, language()))
    else:
        _show_end(switch)
    return 0 if switch.status == "completed" else FAILED


async def _switched(runtime: Runtime, wanted: Rollback | Rollforward, on_step: OnStep, *, quiet: bool) -> Switch:
    """Carry it out; one of the same kind that is under way is followed, and gone on with where its holder has died."""
    switchover = runtime.operations.switchover
    kind: SwitchKind = "rollback" if isinstance(wanted, Rollback) else "rollforward"
    try:
        if isinstance(wanted, Rollback):
            return await switchover.rollback(wanted, on_step)
        return await switchover.rollforward(wanted, on_step)
    except Refused as refused:
        if refused.code == "switch_taken_over":
            return await switchover.follow(str(refused.params["id"]), on_step)
        if refused.code != "switch_under_way" or refused.params["kind"] != kind:
            raise
        if not quiet:
            click.echo(say("switch.following", **refused.params))
        return await switchover.follow(str(refused.params["id"]), on_step)


class _Lines:
    """A line for each step, with the time since the command began."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._said: set[str] = set()

    def say(self, step: Mapping[str, Any]) -> None:
        if step["name"] in self._said:  # heard while following, and again by who went on with it
            return
        self._said.add(step["name"])
        clock = f"{time.monotonic() - self._began:.2f}"
        what = reports.sentence(step, language())
        click.echo(say("switch.line", clock=clock, name=step["name"], seconds=f"{step['seconds']:.2f}", what=what))


def _show_end(switch: Switch) -> None:
    outcome: Mapping[str, Any] = switch.report.get("outcome") or {}
    well = switch.status == "completed"
    click.echo(say("switch.done" if well else "switch.not_done", seconds=outcome.get("seconds", "?")))
    for finding in reports.findings(outcome, language()):
        click.echo(say("switch.remark", finding=finding))
    click.echo(say("switch.report", id=switch.id))


def _show_preview(seen: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(seen)
        return
    types = {name: _type_of(seen[name]) for name in ("before", "after")}
    click.echo(say("switch.preview.mode" if seen["changed"] else "switch.preview.same", **types))
    moves = seen["migration"]
    click.echo(say("switch.preview.moves", **moves) if moves else say("switch.preview.stays"))


def _type_of(flag: Mapping[str, Any]) -> str:
    on = flag["use_durable_worker"] and flag["worker_system_enabled"]
    share = f" {flag['rollout_percent']} %" if on and flag["rollout_percent"] < 100 else ""  # noqa: PLR2004 - per cent
    rq = "on" if flag["worker_system_enabled"] else "off"
    return f"{'rq' if on else 'background_tasks'}{share} (RQ {rq})"
