"""The units of systemd and the site of nginx: checked by the programs that read them, and against the service."""

import configparser
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from generation_service.cli.serve import CONNECTIONS_END_SECONDS
from generation_service.settings import Settings
from scripts.embedded.ports import free_port
from scripts.verification.__main__ import read_arguments, run
from tests.support.settings import SettingsFor
from tests.support.stack import stack

UNITS = sorted(Path("ops/systemd").glob("*.service"))
SITE = Path("ops/nginx/generation-service.conf")
HOME = "/opt/generation-service"
SYSTEMD_ANALYZE = shutil.which("systemd-analyze")
NGINX = shutil.which("nginx", path="/usr/sbin:/sbin") or shutil.which("nginx")


class Unit(configparser.ConfigParser):
    """One unit file; its keys keep their case."""

    def __init__(self, path: Path) -> None:
        super().__init__(interpolation=None, strict=False)
        self.read(path, encoding="utf-8")

    def optionxform(self, optionstr: str) -> str:
        return optionstr


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as on a host that has the service: their programs are where they say."""
    home = tmp_path / "home"
    for name in ("generation-service", "python"):
        program = home / ".venv" / "bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.symlink_to("/bin/true")
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8").replace(HOME, str(home))
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.skipif(SYSTEMD_ANALYZE is None, reason="systemd-analyze is not on this machine")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, installed: Path) -> None:
    assert verify(installed / unit.name) == ""


@pytest.mark.skipif(SYSTEMD_ANALYZE is None, reason="systemd-analyze is not on this machine")
def test_systemd_would_say_what_is_wrong(installed: Path) -> None:
    unit = installed / UNITS[0].name
    unit.write_text(unit.read_text(encoding="utf-8").replace("KillMode=mixed", "KillMode=warm"), encoding="utf-8")

    assert "kill mode" in verify(unit)


def verify(unit: Path) -> str:
    """What systemd says about this unit; it looks at the units of the machine too, whose faults are not ours."""
    assert SYSTEMD_ANALYZE
    said = subprocess.run(
        [SYSTEMD_ANALYZE, "verify", "--man=no", unit], capture_output=True, text=True, check=False, timeout=60
    )
    return "\n".join(line for line in said.stderr.splitlines() if unit.stem in line)


def test_the_units_answer_to_the_names_that_operators_know() -> None:
    aliases = {Unit(path).get("Install", "Alias", fallback="") for path in UNITS}

    assert {"ai-script-generation-service.service", "rag-worker-service.service"} <= aliases


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_keeps_the_flag_and_lets_its_process_end_warm(path: Path) -> None:
    service = Unit(path)["Service"]

    assert service["EnvironmentFile"] == "-/etc/generation-service.env"
    assert service["Restart"] == "on-failure"
    assert service["KillMode"] == "mixed"


def test_a_unit_gives_its_process_the_time_to_end_that_it_takes() -> None:
    grace = Settings.model_fields["shutdown_grace_seconds"].default

    for name, seconds in (("api", CONNECTIONS_END_SECONDS + grace), ("worker", grace)):
        given = float(Unit(Path(f"ops/systemd/generation-{name}.service"))["Service"]["TimeoutStopSec"])
        assert given > seconds + 10


def test_a_unit_starts_a_command_that_there_is() -> None:
    started = {Unit(path)["Service"]["ExecStart"].removeprefix(f"{HOME}/.venv/bin/") for path in UNITS}

    assert started == {
        "generation-service serve",
        "generation-service worker",
        "generation-service scheduler",
        "python -m scripts.rollback_metrics",
    }


@pytest.fixture
def nginx_prefix(tmp_path: Path) -> Path:
    """A prefix whose main configuration includes the site, on a port that is free."""
    port = free_port()
    site = re.sub(r"listen (\[::\]:)?80;", lambda found: f"listen {found[1] or ''}{port};", SITE.read_text("utf-8"))
    (tmp_path / "site.conf").write_text(site, encoding="utf-8")
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n"
        + "".join(f"  {name}_temp_path {tmp_path}/{name};\n" for name in ("client_body", "proxy"))
        + f"  fastcgi_temp_path {tmp_path}/f;\n  uwsgi_temp_path {tmp_path}/u;\n  scgi_temp_path {tmp_path}/s;\n"
        + f"  access_log off;\n  include {tmp_path}/site.conf;\n}}\n",
        encoding="utf-8",
    )
    return tmp_path


@pytest.mark.skipif(NGINX is None, reason="nginx is not on this machine")
def test_nginx_takes_the_site(nginx_prefix: Path) -> None:
    assert NGINX
    said = subprocess.run(
        [NGINX, "-t", "-p", nginx_prefix, "-c", nginx_prefix / "nginx.conf"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert said.returncode == 0, said.stderr
    assert "[warn]" not in said.stderr


@pytest.fixture
def behind_nginx(nginx_prefix: Path, sqlite_url: str, tmp_path: Path) -> Iterator[str]:
    """The address of an nginx with this site, in front of a real service."""
    with stack(tmp_path / "stack", sqlite_url, REDIS_PORT="1") as service:
        service.serve()
        site = nginx_prefix / "site.conf"
        text = site.read_text(encoding="utf-8").replace("127.0.0.1:8002", f"127.0.0.1:{service.port}")
        site.write_text(text.replace("server_name generation-service.example", "server_name _"), encoding="utf-8")
        port = re.search(r"listen (\d+);", text)
        assert port
        words = [NGINX, "-p", nginx_prefix, "-c", nginx_prefix / "nginx.conf", "-g", "daemon off;"]
        with subprocess.Popen(list(map(str, words))) as nginx:
            try:
                service.until(lambda: answers(f"http://127.0.0.1:{port[1]}/livez"), "nginx answers")
                yield f"http://127.0.0.1:{port[1]}"
            finally:
                nginx.terminate()


def answers(url: str) -> bool:
    try:
        return httpx2.get(url, trust_env=False).is_success
    except httpx2.TransportError:
        return False


@pytest.mark.skipif(NGINX is None, reason="nginx is not on this machine")
def test_a_service_behind_nginx_passes_every_check_its_streams_included(
    behind_nginx: str, settings_for: SettingsFor
) -> None:
    findings = run(settings_for(api_url=behind_nginx), read_arguments(["--json", "--jobs", "1"]))

    assert [one for one in findings if one.outcome != "passed"] == []


@pytest.mark.parametrize(
    ("path", "streams"),
    [
        ("/api/generation/0199/events", True),
        ("/api/v1/documents/0199/events", True),
        ("/api/generation/0199", False),
        ("/api/generation", False),
    ],
)
def test_event_streams_are_passed_on_unbuffered(path: str, streams: bool) -> None:  # noqa: FBT001 - a fact of the case
    sections = re.findall(r"location ~ (\S+) \{\n(.*?)\n    \}", SITE.read_text(encoding="utf-8"), re.DOTALL)

    found = [body for pattern, body in sections if re.search(pattern, path)]
    assert ["proxy_buffering off;" in body for body in found] == ([True] if streams else [])


def test_no_request_that_was_sent_is_sent_again() -> None:
    assert "non_idempotent;" not in SITE.read_text(encoding="utf-8")
