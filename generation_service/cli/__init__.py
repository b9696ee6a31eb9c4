"""The command line: one group whose commands are loaded when they are asked for."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from generation_service import __version__
from generation_service.cli.terminal import explain, say
from generation_service.errors import ConfigurationError, ServiceError
from generation_service.telemetry.collector import load

# Each is a module of this package that holds a click command named `command`.
COMMANDS = (
    "serve",
    "worker",
    "scheduler",
    "migrate",
    "generate",
    "documents",
    "programs",
    "reindex",
    "status",
    "mode",
    "audit",
    "rollback",
    "rollforward",
    "check",
)

FAILED = 1
WRONG_USE = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells say it


class _Commands(click.Group):
    """A process of the API must not pay for what only a worker imports, nor the other way round."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = load(f"{__name__}.{cmd_name}").command
        return command


group = _Commands(
    name="generation-service",
    help=say("help"),
    epilog=say("help.exit_codes"),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            help=say("help.version"),
            callback=lambda context, _option, asked: _say_version(context) if asked else None,
        )
    ],
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 failed, 2 wrong use or configuration, 130 interrupted."""
    try:
        code = group.main(arguments, prog_name="generation-service", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except ServiceError as error:
        click.echo(explain(error), err=True)
        sys.exit(WRONG_USE if isinstance(error, ConfigurationError) else FAILED)
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not trip over it once more while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    sys.exit(code if isinstance(code, int) else 0)


def _say_version(context: click.Context) -> None:
    click.echo(f"generation-service {__version__}")
    context.exit()
