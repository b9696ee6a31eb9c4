"""`python -m scripts.dev_stack [--demo]`, behind `ops/dev-start.sh`."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from generation_service import samples
from generation_service.errors import ConfigurationError
from generation_service.settings import Settings, load_settings, terminal_locale
from generation_service.texts import LANGUAGES, Language, language_of_locale, text
from scripts.dev_stack.demo import Demo
from scripts.dev_stack.stack import Interrupts, Stack
from scripts.embedded.ports import free_port

_ROOT = Path(__file__).resolve().parents[2]
_FAILED = 1
_INTERRUPTED = 130  # 128 + SIGINT, as shells say it


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for."""

    demo: bool
    sample: Language
    var: Path


def read_arguments(arguments: Sequence[str], language: Language) -> Asked:
    """Read the command line; exits with 2 where it is wrong."""
    parser = argparse.ArgumentParser("ops/dev-start.sh", description=text("dev_stack.help", language))
    parser.add_argument("--demo", action="store_true", help=text("dev_stack.help_demo", language))
    parser.add_argument(
        "--language", choices=LANGUAGES, default=language, help=text("dev_stack.help_language", language)
    )
    parser.add_argument(
        "--var", type=Path, metavar="FOLDER", default=_ROOT / "var", help=text("dev_stack.help_var", language)
    )
    read = parser.parse_args(arguments)
    return Asked(demo=read.demo, sample=read.language, var=read.var.absolute())


def environment_for(settings: Settings, *, demo: bool) -> dict[str, str]:
    """The environment of the services: this process's own, and what the stack decides."""
    environment = dict(os.environ) | {"HOST": settings.host, "PORT": str(settings.port)}
    environment |= {"API_URL": settings.api_address, "PYTHONUNBUFFERED": "1"}
    if demo or "use_durable_worker" not in settings.model_fields_set:
        environment["USE_DURABLE_WORKER"] = "true"
    if demo:
        environment["WORKER_SYSTEM_ENABLED"] = "true"
        if settings.api_tokens and not settings.api_token:
            environment["API_TOKEN"] = next(iter(settings.api_tokens))
    return environment


def main(arguments: Sequence[str]) -> int:
    """Bring the stack up, run the demonstration or wait for Ctrl+C, take everything down; the exit code."""
    language = language_of_locale(terminal_locale())
    asked = read_arguments(arguments, language)
    interrupts = Interrupts()
    interrupts.listen()
    try:
        # An API_URL says where other commands ask; this stack's own API is where it listens.
        settings = load_settings().model_copy(update={"api_url": None})
        if asked.demo:
            settings = settings.model_copy(update={"worker_system_enabled": True})
        if settings.port == 0:
            settings = settings.model_copy(update={"port": free_port()})
        return run(Stack(settings, _ROOT, asked.var, language, interrupts), asked)
    except ConfigurationError as error:
        sys.stderr.write(f"{error.message}\n")
        return _FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED


def run(stack: Stack, asked: Asked) -> int:
    """Run one stack from start to end."""
    environment = environment_for(stack.settings, demo=asked.demo)
    with stack.up(environment) as services:
        if asked.demo:
            return Demo(stack, services, environment, samples.load(asked.sample)).run()
        stack.say("ready", url=stack.settings.api_address, redis=stack.redis.shown_url)
        stack.watch(services)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
