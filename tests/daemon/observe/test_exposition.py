"""The metrics: accepted by prometheus_client's own parser and by promtool; dashboard and alert rules use those that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from daemon.observe.exposition import exposition
from state.heartbeat import HeartbeatData, TeacherHeartbeat
from state.views.readiness import Condition, readiness
from state.views.status_records import Alert, DaemonStatus, Status, TeacherStatus
from tests.state.views.test_progress import PLAN, RUN, status

MONITORING = Path(__file__).resolve().parents[3] / "docs" / "monitoring"
PROMTOOL = shutil.which("promtool")
TEACHER = TeacherStatus(
    id=1, name='odd"name', model="m", state="ready", reason="", in_flight=3, cap=8, requests_per_minute=1.0,
    tokens_per_minute=1.0, requests=20, answered=15, status_429=2, retries=4, errors=1, unknown_attempts=1,
    prompt_tokens=100, completion_tokens=200, usd=0.5, reserved_usd=0.1, unknown_usd=0.01, p50_ms=1.0, p95_ms=2.0,
)  # fmt: skip
BEAT = HeartbeatData(
    loop_lag_ms=20,
    teachers={
        'odd"name': TeacherHeartbeat(
            errors={"transient": 3}, latency_counts=[0, 1, 2, *[0] * 9, 4], latency_sum_s=9.5
        )
    },
)


def made(**change: Any) -> Status:
    given: dict[str, Any] = {
        "teachers": (TEACHER,), "runs": (RUN, replace(RUN, id=4, state="failed")), "heartbeat": BEAT, **change,
    }  # fmt: skip
    return status(stored=40, **given)


@pytest.fixture
def text(tmp_path: Path) -> str:
    (tmp_path / "state.db").write_bytes(bytes(100))
    return exposition(made(), tmp_path / "state.db", tmp_path / "runs").decode()


def test_the_parser_reads_types_help_and_values(text: str) -> None:
    families = {each.name: each for each in text_string_to_metric_families(text)}
    assert all(each.type != "unknown" and each.documentation for each in families.values())
    values = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for each in families.values()
        for sample in each.samples
    }
    who = ("teacher", 'odd"name')
    assert values["coterie_spent_usd_total",] == 0.5 and values["coterie_budget_usd",] == 5
    assert values["coterie_requests_total", who] == 20 and values["coterie_rate_limited_total", who] == 2
    assert values["coterie_errors_total", ("class", "transient"), who] == 3
    assert values["coterie_tokens_total", ("kind", "completion"), who] == 200
    assert values["coterie_response_seconds_bucket", ("le", "0.5"), who] == 3
    assert values["coterie_response_seconds_bucket", ("le", "+Inf"), who] == 7
    assert values["coterie_response_seconds_count", who] == 7
    assert values["coterie_response_seconds_sum", who] == 9.5
    assert values["coterie_runs", ("state", "failed")] == 1
    assert values["coterie_run_progress_ratio", ("run", "3"), ("student", "cot"), ("task", "t")] == 0.1
    assert values["coterie_daemon_state", ("state", "running")] == 1
    assert values["coterie_database_bytes",] == 100 and values["coterie_disk_free_bytes", ("of", "runs")] > 0
    assert {each.type for each in families.values()} == {"gauge", "counter", "histogram"}


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_accepts_the_metrics_and_the_rules(text: str) -> None:
    assert PROMTOOL is not None
    metrics = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (metrics.returncode, metrics.stdout + metrics.stderr) == (0, "")
    rules = subprocess.run(
        [PROMTOOL, "check", "rules", MONITORING / "alerts.yml"], capture_output=True, text=True, check=False
    )
    assert rules.returncode == 0 and "9 rules found" in rules.stdout, rules.stdout + rules.stderr


def test_dashboard_and_rules_name_metrics_that_there_are(text: str) -> None:
    known = set(re.findall(r"^(coterie_\w+)", text, re.MULTILINE))
    board = json.loads((MONITORING / "grafana.json").read_text())
    asked = "\n".join(target["expr"] for panel in board["panels"] for target in panel["targets"])
    asked += (MONITORING / "alerts.yml").read_text()
    named = set(re.findall(r"\bcoterie_\w+", asked))
    assert len(named) > 20 and named <= known
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


PARKED = replace(TEACHER, name="x", state="parked")


@pytest.mark.parametrize(
    ("change", "ready", "condition"),
    [
        ({}, True, Condition.WELL),
        ({"alerts": (Alert(what="something"),)}, True, Condition.TROUBLE),
        ({"plans": (replace(PLAN, in_flight=0),), "teachers": (PARKED,)}, False, Condition.STUCK),
        (
            {"plans": (replace(PLAN, in_flight=0),), "teachers": (PARKED,), "runs": (RUN,)},
            True,
            Condition.WELL,
        ),
        ({"plans": (replace(PLAN, in_flight=0, stored=1000),), "teachers": (PARKED,)}, True, Condition.WELL),
        (
            {
                "plans": (replace(PLAN, in_flight=0, teacher="x, y"),),
                "teachers": (PARKED, replace(TEACHER, name="y")),
            },
            True,
            Condition.WELL,
        ),
        (
            {
                "plans": (replace(PLAN, in_flight=0),),
                "heartbeat": HeartbeatData(notice="the budget is used up: …"),
            },
            False,
            Condition.STUCK,
        ),
        ({"daemon": DaemonStatus(state="down", boot_id=1)}, False, Condition.DOWN),
        ({"daemon": DaemonStatus(state="running", boot_id=1, silent=True)}, False, Condition.DOWN),
        ({"daemon": DaemonStatus(state="stopped", boot_id=1)}, False, Condition.WELL),
    ],
)
def test_ready_means_that_something_can_go_on_or_nothing_is_left(
    change: dict[str, Any], ready: bool, condition: Condition
) -> None:
    found = readiness(status(**{"teachers": (replace(TEACHER, name="x"),), **change}))
    assert (found.ready, found.condition) == (ready, condition), found
