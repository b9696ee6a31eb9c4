"""`python -m scripts.verification`, behind `ops/verify-rollback.sh`: a line a check, non-zero when one fails."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx2

from generation_service.errors import ConfigurationError
from generation_service.settings import Settings, load_settings
from scripts.arguments import amount, count
from scripts.tool import DONE, LEFT, WRONG_USE, say, show, show_json, tell
from scripts.verification import load, state, trial
from scripts.verification.findings import Finding
from scripts.verification.limits import LIMITS, Limits
from scripts.verification.service import Service
from scripts.verification.surroundings import Surroundings, surroundings

Check = tuple[tuple[str, ...], Callable[[], list[Finding]]]
"""The names of what one look finds, and the look."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check everything and say it; the exit code."""
    asked = read_arguments(arguments)
    began = time.monotonic()
    try:
        findings = run(load_settings(), asked)
    except (ConfigurationError, httpx2.InvalidURL) as error:
        tell(str(error))
        return WRONG_USE
    failed = sum(one.outcome == "failed" for one in findings)
    summary = {"checks": len(findings), "failed": failed, "seconds": round(time.monotonic() - began, 1)}
    if asked.json:
        verified = not failed and not asked.dry_run
        show_json({"verified": verified, **summary, "findings": [one.as_json() for one in findings]})
    elif not asked.dry_run:
        show(say("verification.not_verified" if failed else "verification.verified", **summary))
    return LEFT if failed else DONE


def run(settings: Settings, asked: argparse.Namespace) -> list[Finding]:
    """Every check in order, each said as soon as it is known."""
    limits = Limits(**{one.name: getattr(asked, one.name) for one in LIMITS})
    service = Service.of(settings)
    found: list[Finding] = []
    try:
        with surroundings(settings) as told:
            for names, look in checks(service, told, limits, asked):
                seen = [_unseen(name) for name in names] if asked.dry_run else look()
                found += seen
                for one in seen if not asked.json else ():
                    show(line(one))
                    sys.stdout.flush()
    finally:
        service.close()
    return found


def checks(service: Service, told: Surroundings, limits: Limits, asked: argparse.Namespace) -> Iterator[Check]:
    """The checklist: what holds at once, what the service does, how it performs."""
    yield ("flag",), lambda: [state.flag(service)]
    yield ("answers",), lambda: [state.answers(service, limits)]
    yield ("in_process", "stream", "progress", "script", "episode"), trial.Trial(service, limits).findings
    yield ("workers_gone",), lambda: [state.workers_gone(service, told, limits, kept=asked.keep_workers)]
    yield ("document",), lambda: [trial.document(service, limits)]
    if not asked.quick:
        yield ("in_a_row",), lambda: [trial.in_a_row(service, limits)]
        yield ("mean", "p99", "failures"), lambda: load.findings(service, limits)
    yield ("memory",), lambda: [state.memory(service, told, limits)]


def line(finding: Finding) -> str:
    """One finding, for a person."""
    parts = [say(f"verification.{finding.outcome}"), say(f"verification.check.{finding.check}")]
    if finding.value:
        parts.append(finding.value)
    if finding.limit:
        parts.append(f"({finding.limit})")
    return "  ".join(parts) + (f"  -- {finding.explained}" if finding.note else "")


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; exits with 2 where it is wrong."""
    about, exit_codes = say("verification.help.about"), say("verification.help.exit_codes")
    parser = argparse.ArgumentParser("ops/verify-rollback.sh", description=about, epilog=exit_codes)
    for flag in ("json", "quick", "keep_workers", "dry_run"):
        told = say(f"verification.help.{flag}")
        parser.add_argument(f"--{flag.replace('_', '-')}", action="store_true", help=told)
    for one in LIMITS:
        kind: Callable[[str], Any] = count if isinstance(one.default, int) else amount
        told = f"{say(f'verification.help.{one.name}')} ({one.default:g})".replace("%", "%%")
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=kind, default=one.default, metavar="N", help=told)
    return parser.parse_args(arguments)


def _unseen(name: str) -> Finding:
    return Finding(check=name, outcome="skipped", note="dry_run")


if __name__ == "__main__":
    sys.exit(main())
