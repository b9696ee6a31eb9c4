"""The text that Prometheus reads: the service's totals, and gauges of this moment."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from generation_service.telemetry.totals import BUCKETS, Labels, Series

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0

COUNTERS: Mapping[str, tuple[str, ...]] = {
    "pipeline_failures_total": ("step", "error_type"),
    "generation_jobs_attempts_total": ("backend", "outcome"),
}
HISTOGRAMS: Mapping[str, tuple[str, ...]] = {
    "pipeline_step_duration_seconds": ("step",),
    "generation_jobs_attempt_duration_seconds": ("backend",),
}
HELP: Mapping[str, str] = {
    "pipeline_failures_total": "Steps that failed, by the code of their error.",
    "generation_jobs_attempts_total": "Attempts that ended, by how.",
    "pipeline_step_duration_seconds": "How long steps ran that completed or failed.",
    "generation_jobs_attempt_duration_seconds": "How long attempts ran.",
    "background_tasks_active": "Jobs that run in this process right now.",
    "background_tasks_capacity": "Jobs that may run in this process at once.",
    "generation_jobs_accepted_total": "Jobs accepted since the beginning.",
    "generation_jobs_ended_total": "Times a job ended; a reopened job ends again.",
    "generation_jobs_live": "Jobs that wait or run, by backend and status.",
    "generation_queue_depth": "Jobs that wait, by backend and priority.",
    "generation_queue_oldest_seconds": "For how long the job that has waited longest could have run, by backend.",
    "generation_streams_open": "Open event streams of this process.",
    "system_rollback_active": "1 while jobs run in-process, 0 while they go to RQ.",
    "rollback_performance_ratio": "ROLLBACK_BASELINE_SECONDS over the mean time of an answer; below 1: slower.",
    "rollback_errors_total": "Switches of the mode that failed, and failed looks of the monitor that counts them.",
    "generation_workers_alive": "RQ worker processes that take jobs; those on standby are not counted.",
    "generation_alerts_total": "Alerts that were told, by type: a job or a document failed for good, and the like.",
    "program_files": "Files of programs that are not completed, by status.",
    "program_retries_total": "Files that were tried again, by what became of them; skipped: a retry was under way.",
    "generation_redis_up": "1 where Redis answers, 0 where it does not; absent while no RQ part is in use.",
    "generation_ledger_lost": "Jobs that were accepted and are nowhere; 0 in a system that is well.",
    "generation_ledger_duplicated": "Jobs, deliveries or episodes that are there twice; 0 in a system that is well.",
    "generation_ledger_unexplained": "Entries in RQ or rows that nothing explains; 0 in a system that is well.",
    "generation_service_up": "1 where the database answers, 0 where it does not.",
    "generation_service_build_info": "Always 1; the version is a label.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What one scrape shows. Gauges and `counts` are by name, then by labels (pairs of name and value)."""

    totals: Mapping[Series, float] = field(default_factory=dict)
    counts: Mapping[str, Mapping[Labels, float]] = field(default_factory=dict)
    gauges: Mapping[str, Mapping[Labels, float]] = field(default_factory=dict)


def exposition(snapshot: Snapshot) -> bytes:
    """The snapshot, and this process's memory, threads and garbage collection, in Prometheus's text format."""
    registry = CollectorRegistry()
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR, _Fixed(list(_families(snapshot)))):
        registry.register(collector)
    return generate_latest(registry)


class _Fixed(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _families(snapshot: Snapshot) -> Iterator[Metric]:
    for name, label_names in COUNTERS.items():
        found = {labels: value for (series_name, labels), value in snapshot.totals.items() if series_name == name}
        yield _counter(name, label_names, found)
    for name, label_names in HISTOGRAMS.items():
        yield _histogram(name, label_names, snapshot.totals)
    for name, series in snapshot.counts.items():
        yield _counter(name, _label_names(series), series)
    for name, series in snapshot.gauges.items():
        family = GaugeMetricFamily(name, HELP[name], labels=_label_names(series))
        for labels, value in sorted(series.items()):
            family.add_metric([text for _, text in labels], value)
        yield family


def _counter(name: str, label_names: Sequence[str], series: Mapping[Labels, float]) -> Metric:
    family = CounterMetricFamily(name, HELP[name], labels=label_names)
    for labels, value in sorted(series.items()):
        given = dict(labels)
        family.add_metric([given[label] for label in label_names], value)
    return family


def _histogram(name: str, label_names: Sequence[str], totals: Mapping[Series, float]) -> Metric:
    counted: defaultdict[tuple[str, ...], defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    sums: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for (series_name, labels), value in totals.items():
        given = dict(labels)
        if series_name == f"{name}_bucket":
            counted[tuple(given[label] for label in label_names)][given["le"]] += value
        elif series_name == f"{name}_sum":
            sums[tuple(given[label] for label in label_names)] += value
    family = HistogramMetricFamily(name, HELP[name], labels=label_names)
    for key, by_bound in sorted(counted.items()):
        family.add_metric(list(key), _cumulative(by_bound), sums[key])
    return family


def _cumulative(by_bound: Mapping[str, float]) -> list[tuple[str, float]]:
    """Bounds and running sums as Prometheus wants them; a bound that is no longer in use keeps its counts."""
    bounds = sorted({*map(float, by_bound), *BUCKETS, math.inf})
    running, told = 0.0, []
    for bound in bounds:
        running += sum(value for text, value in by_bound.items() if float(text) == bound)
        told.append(("+Inf" if math.isinf(bound) else str(bound), running))
    return told


def _label_names(series: Mapping[Labels, float]) -> list[str]:
    return [name for name, _ in next(iter(series), ())]
