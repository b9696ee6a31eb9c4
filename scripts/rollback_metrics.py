"""Serves the metrics of a rollback on a port of its own: `python -m scripts.rollback_metrics`.

Reads the database and Redis directly, and asks the API only where the database does not answer; so it can tell with
the API down. Changes nothing: there is nothing to undo.
"""

import argparse
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from generation_service.database import Database
from generation_service.errors import ConfigurationError, DatabaseUnavailable
from generation_service.settings import Settings, load_settings
from generation_service.switching.figures import RollbackFigures, rollback_figures
from generation_service.telemetry.metrics import HELP
from scripts.arguments import port, seconds
from scripts.existing_database import close, open_existing
from scripts.tool import DONE, LEFT, WRONG_USE, say, show, show_json, tell
from scripts.verification.findings import Missed
from scripts.verification.service import Service
from workers.redis_connection import connect

PORT = 8090

_ERRORS = "rollback_errors_total"
_API_SECONDS = 3.0


class Monitor(Collector):
    """Looks at each scrape; a look that fails is counted, and what is then unknown is left out."""

    def __init__(self, settings: Settings, *, baseline_seconds: float) -> None:
        self._settings = settings
        self._baseline_seconds = baseline_seconds
        self._service = Service.of(settings, patience_seconds=_API_SECONDS)
        self._redis = connect(settings.redis_address, timeout_seconds=settings.redis_timeout_seconds)
        self._database: Database | None = None
        self._looking = threading.Lock()  # one look at a time, however many scrape
        self._failed_looks = 0
        self._failed_switches = 0

    def close(self) -> None:
        self._service.close()
        self._redis.close()
        if self._database is not None:
            close(self._database)

    def collect(self) -> Iterable[Metric]:
        """One look, as Prometheus's families."""
        for name, value in self.look().items():
            family = CounterMetricFamily if name == _ERRORS else GaugeMetricFamily
            yield family(name, HELP[name], value=value)

    def look(self) -> dict[str, float]:
        """Values by the names of their metrics."""
        with self._looking:
            try:
                found = self._figures()
            except Missed:
                self._failed_looks += 1
                return {_ERRORS: self._errors}
            self._failed_switches = found.failed_switches
            return {
                "system_rollback_active": float(found.active),
                "rollback_performance_ratio": found.performance_ratio(self._baseline_seconds),
                "generation_workers_alive": float(found.workers_alive),
                "generation_redis_up": float(self._redis_answers()),
                _ERRORS: self._errors,
            }

    @property
    def failed(self) -> bool:
        """Whether any look failed."""
        return self._failed_looks > 0

    @property
    def _errors(self) -> float:
        return float(self._failed_looks + self._failed_switches)

    def _figures(self) -> RollbackFigures:
        self._database = self._database or open_existing(self._settings)
        if self._database is not None:
            try:
                return self._database.read_now(rollback_figures)
            except DatabaseUnavailable:
                pass  # the API may know: it has said so before, and has other ways to the database
        return self._told_by_the_api()

    def _told_by_the_api(self) -> RollbackFigures:
        said = self._service.health().get("worker_system") or {}
        stats = self._service.stats()
        workers = [one for one in stats.get("processes", []) if (one["role"], one["state"]) == ("worker", "serving")]
        return RollbackFigures(
            active=not said.get("enabled"),
            answer_seconds=stats.get("average_response_time"),
            failed_switches=self._failed_switches,
            workers_alive=len(workers),
        )

    def _redis_answers(self) -> bool:
        try:
            return bool(self._redis.ping())
        except RedisError:
            return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl+C, or look once; the exit code."""
    try:
        settings = load_settings()
        asked = read_arguments(arguments, settings.rollback_baseline_seconds)
        if asked.dry_run:
            return _tell_what_would_be(asked, settings)
        monitor = Monitor(settings, baseline_seconds=asked.baseline)
    except ConfigurationError as error:
        tell(error.message)
        return WRONG_USE
    try:
        return look_once(monitor, as_json=asked.json) if asked.once or asked.json else serve(monitor, asked)
    finally:
        monitor.close()


def look_once(monitor: Monitor, *, as_json: bool) -> int:
    """Print one look."""
    if as_json:
        show_json(monitor.look())
    else:
        show(generate_latest(_registry(monitor)).decode().rstrip())
    return LEFT if monitor.failed else DONE


def serve(monitor: Monitor, asked: argparse.Namespace) -> int:
    """Answer scrapes until told to end."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        server, thread = start_http_server(asked.port, asked.host, registry=_registry(monitor))
    except OSError as error:
        tell(say("rollback_metrics.no_port", host=asked.host, port=asked.port, reason=error.strerror))
        return WRONG_USE
    address = server.server_address
    show(say("rollback_metrics.serving", host=address[0], port=address[1]))
    sys.stdout.flush()
    ended.wait()
    server.shutdown()
    server.server_close()
    thread.join()
    return DONE


def read_arguments(arguments: Sequence[str] | None, baseline_seconds: float) -> argparse.Namespace:
    """Read the command line; exits with 2 where it is wrong."""
    about, exit_codes = say("rollback_metrics.help.about"), say("rollback_metrics.help.exit_codes")
    parser = argparse.ArgumentParser("rollback_metrics.py", description=about, epilog=exit_codes)
    options: dict[str, dict[str, Any]] = {
        "host": {"default": "127.0.0.1", "metavar": "ADDRESS"},
        "port": {"type": port, "default": PORT, "metavar": "PORT"},
        "baseline": {"type": seconds, "default": baseline_seconds, "metavar": "SECONDS"},
        **{flag: {"action": "store_true"} for flag in ("once", "json", "dry_run")},
    }
    for name, option in options.items():
        parser.add_argument(f"--{name.replace('_', '-')}", help=say(f"rollback_metrics.help.{name}"), **option)
    return parser.parse_args(arguments)


def _tell_what_would_be(asked: argparse.Namespace, settings: Settings) -> int:
    """What would be read and served."""
    told = {"host": asked.host, "port": asked.port, "api": settings.api_address, "baseline_seconds": asked.baseline}
    if asked.json:
        show_json({"dry_run": True, **told})
    else:
        show(say("rollback_metrics.dry_run", **told))
    return DONE


def _registry(monitor: Monitor) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)  # a look at the start would be an error more where nobody is
    registry.register(monitor)
    return registry


if __name__ == "__main__":
    sys.exit(main())
