"""The status as Prometheus metrics, through prometheus_client."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from state.heartbeat import LATENCY_EDGES_S
from state.views.readiness import readiness
from state.views.status_records import Status, TeacherStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DAEMON_STATES = ("starting", "running", "paused", "draining", "stopped", "down")
TEACHER_STATES = ("ready", "paused", "limited", "parked", "cooling")
RUN_STATES = ("queued", "starting", "training", "evaluating", "done", "failed", "stopped")
SAMPLES = ("wanted", "in_flight", "stored", "accepted", "rejected", "failed", "skipped")


def exposition(status: Status, database: Path, runs: Path) -> bytes:
    """The text format of Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(status, database, runs))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, status: Status, database: Path, runs: Path) -> None:
        self._status, self._database, self._runs = status, database, runs

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are those of `collect`."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        status = self._status
        yield from _daemon(status)
        yield from _money(status)
        yield from _teachers(status.teachers)
        yield _latency(status)
        yield _errors(status)
        samples = GaugeMetricFamily(
            "coterie_samples",
            "Samples of a plan, by what became of them; accepted: correct, or answered where there is no gold answer.",
            labels=("plan", "task", "split", "state"),
        )
        for plan in status.plans:
            for state in SAMPLES:
                samples.add_metric((plan.name, plan.task, plan.split, state), getattr(plan, state))
        yield samples
        yield from _runs(status)
        yield from _disks(self._database, self._runs)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _states(name: str, text: str, known: Iterable[str], now: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=("state",))
    for state in known:
        family.add_metric((state,), state == now)
    return family


def _daemon(status: Status) -> Iterator[Metric]:
    heartbeat, found = status.heartbeat, readiness(status)
    info = GaugeMetricFamily("coterie_build_info", "The version of this daemon.", labels=("version",))
    info.add_metric((version("coterie"),), 1)
    yield info
    yield _states(
        "coterie_daemon_state", "1 for the state that the daemon is in.", DAEMON_STATES, status.daemon.state
    )
    yield _gauge(
        "coterie_ready",
        "1 if the daemon is live, and something can continue or nothing is left to do.",
        found.ready,
    )
    yield _gauge("coterie_alerts", "Problems that `coterie status` shows.", len(status.alerts))
    yield _gauge("coterie_uptime_seconds", "Time since the daemon started.", status.daemon.uptime_s or 0.0)
    yield _gauge(
        "coterie_event_loop_lag_seconds",
        "Worst delay of the event loop in the last seconds.",
        heartbeat.loop_lag_ms / 1000,
    )
    yield _gauge("coterie_commit_lag_seconds", "Time that a commit takes.", heartbeat.commit_lag_ms / 1000)
    yield _gauge("coterie_resident_memory_bytes", "Resident memory of the daemon.", heartbeat.memory_mb * 1e6)
    yield _gauge("coterie_waiting_retries", "Samples that wait to be asked again.", heartbeat.waiting_retry)


def _money(status: Status) -> Iterator[Metric]:
    spend = status.spend
    yield CounterMetricFamily(
        "coterie_spent_usd", "Dollars that are known to be billed; never falls.", value=spend.usd
    )
    yield _gauge("coterie_reserved_usd", "Dollars that requests in flight may cost.", spend.reserved_usd)
    yield _gauge("coterie_unknown_usd", "Dollars that ended requests may have cost.", spend.unknown_usd)
    if spend.cap_usd is not None:
        yield _gauge("coterie_budget_usd", "The budget over all teachers.", spend.cap_usd)


_COUNTERS = (
    ("coterie_teacher_spent_usd", "Dollars that a teacher is known to have billed.", "usd"),
    ("coterie_requests", "Requests that were sent.", "requests"),
    ("coterie_answers", "Requests that were answered.", "answered"),
    ("coterie_rate_limited", "Refusals for a rate limit (429).", "status_429"),
    ("coterie_retries", "Requests that were sent again.", "retries"),
    ("coterie_failed_requests", "Requests that failed.", "errors"),
    (
        "coterie_unknown_requests",
        "Requests without an answer, which may have been billed.",
        "unknown_attempts",
    ),
)
_GAUGES = (
    ("coterie_teacher_in_flight", "Requests in flight.", "in_flight"),
    ("coterie_teacher_concurrency_cap", "Requests that may be in flight.", "cap"),
    ("coterie_teacher_reserved_usd", "Dollars that requests in flight may cost.", "reserved_usd"),
    ("coterie_teacher_unknown_usd", "Dollars that ended requests may have cost.", "unknown_usd"),
)


def _teachers(teachers: Iterable[TeacherStatus]) -> Iterator[Metric]:
    teachers = list(teachers)
    for name, text, field in _COUNTERS:
        counter = CounterMetricFamily(name, text, labels=("teacher",))
        for teacher in teachers:
            counter.add_metric((teacher.name,), getattr(teacher, field))
        yield counter
    tokens = CounterMetricFamily("coterie_tokens", "Tokens that were billed.", labels=("teacher", "kind"))
    for teacher in teachers:
        tokens.add_metric((teacher.name, "prompt"), teacher.prompt_tokens)
        tokens.add_metric((teacher.name, "completion"), teacher.completion_tokens)
    yield tokens
    for name, text, field in _GAUGES:
        gauge = GaugeMetricFamily(name, text, labels=("teacher",))
        for teacher in teachers:
            gauge.add_metric((teacher.name,), getattr(teacher, field))
        yield gauge
    states = GaugeMetricFamily(
        "coterie_teacher_state", "1 for the state that a teacher is in.", labels=("teacher", "state")
    )
    for teacher in teachers:
        for state in TEACHER_STATES:
            states.add_metric((teacher.name, state), state == teacher.state)
    yield states


def _latency(status: Status) -> Metric:
    family = HistogramMetricFamily(
        "coterie_response_seconds", "Response times since the daemon started.", labels=("teacher",)
    )
    for name, now in status.heartbeat.teachers.items():
        if len(now.latency_counts) != len(LATENCY_EDGES_S) + 1:
            continue
        buckets, total = [], 0
        for edge, count in zip((*map(str, LATENCY_EDGES_S), "+Inf"), now.latency_counts, strict=True):
            total += count
            buckets.append((edge, float(total)))
        family.add_metric((name,), buckets, sum_value=now.latency_sum_s)
    return family


def _errors(status: Status) -> Metric:
    family = CounterMetricFamily(
        "coterie_errors", "Failures since the daemon started, by class.", labels=("teacher", "class")
    )
    for name, now in status.heartbeat.teachers.items():
        for kind, count in sorted(now.errors.items()):
            family.add_metric((name, kind), count)
    return family


def _runs(status: Status) -> Iterator[Metric]:
    family = GaugeMetricFamily("coterie_runs", "Runs, by state.", labels=("state",))
    for state in RUN_STATES:
        family.add_metric((state,), sum(run.state == state for run in status.runs))
    yield family
    labels = ("run", "student", "task")
    done = GaugeMetricFamily(
        "coterie_run_progress_ratio", "Steps done of those planned, of runs in training.", labels=labels
    )
    loss = GaugeMetricFamily(
        "coterie_run_loss", "The latest training loss of runs in training.", labels=labels
    )
    for run in status.active_runs:
        if run.steps:
            done.add_metric((str(run.id), run.student, run.task), run.step / run.steps)
        if run.loss is not None:
            loss.add_metric((str(run.id), run.student, run.task), run.loss)
    yield done
    yield loss


def _disks(database: Path, runs: Path) -> Iterator[Metric]:
    free = GaugeMetricFamily("coterie_disk_free_bytes", "Free bytes of a disk.", labels=("of",))
    for of, path in (("state", database.parent), ("runs", runs)):
        place = next((each for each in (path, *path.parents) if each.is_dir()), None)
        if place is not None:
            free.add_metric((of,), shutil.disk_usage(place).free)
    yield free
    size = sum(
        file.stat().st_size
        for file in (database, database.with_name(database.name + "-wal"))
        if file.exists()
    )
    yield _gauge("coterie_database_bytes", "Bytes of state.db and its log.", size)
