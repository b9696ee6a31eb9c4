"""`serve`: check the configuration, take the port, and keep API processes on it.

Each API process reads its configuration when it starts: the environment that `serve` was started with,
and the `.env` of the working directory as it is at that moment. So what a restart (SIGHUP, or
POST /api/admin/graceful-restart) brings into force is the change of `.env`; what was exported in a
shell after the start reaches nobody, and HOST and PORT stay what the supervisor holds.
"""

import contextlib
import errno
import os
import socket

import click
from uvicorn.config import Config
from uvicorn.importer import import_from_string

from generation_service.cli.supervisor import ApiConfig, Supervisor
from generation_service.cli.terminal import prepare_database, say
from generation_service.errors import ConfigurationError
from generation_service.objects import ObjectStore
from generation_service.settings import Settings, load_settings, say_of_setting
from generation_service.telemetry import configure_logging
from workers.redis_connection import connect

APPLICATION = "generation_service.app:app_from_environment"

_BACKLOG = 2048
# Longer than a stream is given to end by itself; what is still open then is cut.
CONNECTIONS_END_SECONDS = 15
# What the application may take after that and after its jobs' own grace.
_CLOSING_SECONDS = 4
# A process imports the application, reaches the database and starts its loops within this.
READY_SECONDS = 30


@click.command("serve", help=say("help.serve"))
@click.option("--host", metavar="ADDRESS", help=say("help.serve.host"))
@click.option("--port", type=click.IntRange(0, 65535), help=say("help.serve.port"))
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help=say("help.serve.workers"))
def command(host: str | None, port: int | None, workers: int) -> int:
    """Run until SIGTERM; exit 0 then, 1 where the API did not start, 2 where the configuration is wrong."""
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    if host is not None and host.split() != [host]:
        raise ConfigurationError(
            say_of_setting("line", name="--host", got=repr(host), takes=say_of_setting("takes.host"))
        )
    settings = load_settings().model_copy(update=given)
    configure_logging(settings.log_format, settings.log_level)
    check_before_start(settings)
    return supervise(settings, workers)


def check_before_start(settings: Settings) -> None:
    """Refuse what could only fail later, in a process below this one: then the one line would be among many.

    An open address without tokens, a Redis or a storage that cannot be, a schema that does not fit.
    """
    if settings.listens_publicly and not settings.api_tokens:
        raise ConfigurationError(say("serve.public_without_tokens", host=settings.host))
    connect(settings.redis_address, timeout_seconds=settings.redis_timeout_seconds).close()
    ObjectStore.open(settings.storage_url, endpoint_url=settings.s3_endpoint_url)
    prepare_database(settings)


def rehearse() -> None:
    """Do what a new API process does before it serves, and leave nothing behind. Raises ConfigurationError."""
    check_before_start(load_settings())
    application = import_from_string(APPLICATION)()
    application.state.runtime.close()


def supervise(settings: Settings, workers: int, application: str = APPLICATION) -> int:
    """Hold the port and keep `workers` processes of `application` (an import string of a factory) on it."""
    listener = listen(settings.host, settings.port)
    address = settings.model_copy(update={"port": listener.getsockname()[1], "api_url": None})
    # What the command line said is said to the processes too; they read the environment for themselves.
    os.environ.update(HOST=address.host, PORT=str(address.port))
    supervisor = Supervisor(
        _uvicorn_config(settings, workers, application),
        [listener],
        end_seconds=CONNECTIONS_END_SECONDS + settings.shutdown_grace_seconds + _CLOSING_SECONDS,
        on_ready=lambda: _say_ready(address.api_address),
    )
    supervisor.run()
    if supervisor.exit_code:
        click.echo(say("serve.did_not_start"), err=True)
    return supervisor.exit_code


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigurationError with the line that says why there can be none."""
    listener = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, address = found[0]
        # The protocol by its number: asyncio switches Nagle's algorithm off only on sockets that name it, and with
        # it on, an answer in two writes waits 40 ms for the caller's delayed acknowledgement.
        listener = socket.socket(family, kind, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # At once, not when the first process is ready: until then callers wait instead of being refused,
        # and a second server on this port is told that it is taken.
        listener.listen(_BACKLOG)
    except OSError as error:
        if listener:
            listener.close()
        raise ConfigurationError(_why_no_port(error, host, port)) from error
    return listener


def _why_no_port(error: OSError, host: str, port: int) -> str:
    reasons = {errno.EADDRINUSE: "serve.port_taken", errno.EACCES: "serve.port_not_allowed"}
    return say(reasons.get(error.errno or 0, "serve.no_such_address"), host=host, port=port)


def _say_ready(url: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # whoever started it may have stopped reading; it serves all the same
        click.echo(say("serve.ready", url=url))


def _uvicorn_config(settings: Settings, workers: int, application: str) -> Config:
    return ApiConfig(
        application,
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=workers,
        lifespan="on",
        log_config=None,  # the application writes its own lines
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=CONNECTIONS_END_SECONDS,
        timeout_worker_healthcheck=READY_SECONDS,
    )
