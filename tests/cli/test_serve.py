"""`serve` refuses what cannot work with one line, and answers once it says that it is ready."""

import asyncio
import signal
import socket
from pathlib import Path

import httpx2
import psutil
import pytest

from generation_service.cli.serve import listen
from tests.cli.commands import Commands
from tests.cli.serving import command, end, start


def test_a_port_that_is_taken_is_one_line_and_wrong_use(commands: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        ran = commands.run("serve", "--port", str(port))

    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert ran.err.startswith(f"PORT: {port}")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - what is refused
def test_an_open_address_without_tokens_is_refused(commands: Commands, host: str) -> None:
    ran = commands.run("serve", "--host", host, "--port", "0")

    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "API_TOKENS" in ran.err


@pytest.mark.parametrize("host", ["", " "])
def test_an_option_without_an_address_is_one_line(commands: Commands, host: str) -> None:
    ran = commands.run("serve", "--host", host, "--port", "0")

    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert ran.err.startswith("--host: got ")


def test_an_address_of_another_machine_is_one_line(commands: Commands) -> None:
    ran = commands.run("serve", "--host", "192.0.2.1", "--port", "0", given={"API_TOKENS": '{"t": "ana"}'})

    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert ran.err.startswith("HOST: 192.0.2.1")


@pytest.mark.parametrize(
    "url",
    ["postgresql://host:port/none", "postgresql://ana@127.0.0.1:1/none", "sqlite://", "sqlite:////dev/null/none.db"],
)
def test_a_database_that_cannot_be_is_one_line(commands: Commands, url: str) -> None:
    ran = commands.run("serve", "--port", "0", given={"DATABASE_URL": url})

    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert ran.err.startswith("DATABASE_URL: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "http://host"),
        ("REDIS_URL", "redis://host:port/5"),
        ("REDIS_URL", "redis://host:99999/5"),
        ("REDIS_URL", "redis://host/five"),
        ("HOST", ""),
        ("HOST", "127.0.0.1 "),
        ("REDIS_HOST", ""),
        ("STORAGE_URL", ""),
        ("STORAGE_URL", "ftp://host/folder"),
        ("STORAGE_URL", "s3://"),
        ("STORAGE_URL", "/dev/null/objects"),
        ("LLM_BASE_URL", "localhost"),
        ("SEARCH_BASE_URL", "ftp://host"),
        ("API_TOKENS", '{"": "ana"}'),
        ("API_TOKENS", '{"two words": "ana"}'),
        ("JOB_TIMEOUT_SECONDS", "inf"),
        ("SHUTDOWN_GRACE_SECONDS", "inf"),
    ],
)
def test_a_value_that_could_only_fail_later_is_one_line_that_names_its_variable(
    commands: Commands, name: str, value: str
) -> None:
    ran = commands.run("serve", "--port", "0", given={name: value})

    assert (ran.code, len(ran.err.splitlines())) == (2, 1), ran.err
    assert ran.err.startswith(f"{name}: ")


def test_every_wrong_variable_gets_its_line(commands: Commands) -> None:
    ran = commands.run("serve", given={"PORT": "many", "JOB_LEASE_SECONDS": "0"})

    assert ran.code == 2
    assert [line.partition(":")[0] for line in ran.err.splitlines()] == ["PORT", "JOB_LEASE_SECONDS"]


def test_the_service_serves_on_a_fresh_folder_and_ends_with_0(tmp_path: Path) -> None:
    serving = start(command("serve", "--port", "0"), {"SHUTDOWN_GRACE_SECONDS": "1"}, cwd=tmp_path)
    try:
        assert serving.stdout
        url = serving.stdout.readline().split(" ready at ")[1].split()[0]

        assert httpx2.get(f"{url}/readyz", trust_env=False).status_code == 200
        [child] = psutil.Process(serving.pid).children()
        assert "serve" in child.cmdline()  # a copy: whatever was checked before the start has left no thread behind

        serving.send_signal(signal.SIGTERM)
        _, said = serving.communicate(timeout=30)
        assert serving.returncode == 0, said
    finally:
        end(serving)


async def test_answers_are_sent_at_once() -> None:
    """With Nagle's algorithm on, each answer of two writes would take 40 ms."""
    switched: list[int] = []

    def note(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = writer.get_extra_info("socket")
        switched.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    server = await asyncio.start_server(note, sock=listen("127.0.0.1", 0))
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await reader.read()
        writer.close()

    assert switched == [1]
