"""Lines of a run without a terminal: which status is worth one."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

from state.views.progress import MOST_S, Progress
from state.views.status_records import Alert, DaemonStatus, PlanStatus, RunStatus, Spend, Status
from state.views.tables import table

PLAN = PlanStatus(
    id=1, name="p", task="t", teacher="x", split="train", wanted=1000, in_flight=8, stored=0, accepted=0,
    rejected=0, failed=0, skipped=0,
)  # fmt: skip
SPEND = Spend(
    usd=0.5, reserved_usd=0, unknown_usd=0, cap_usd=5.0, prompt_tokens=0, completion_tokens=0, unknown_attempts=0
)  # fmt: skip
RUN = RunStatus(
    id=3, student="cot", task="t", trigger="complete", state="training", method="fine-tune-cot", samples=9, step=5,
    steps=50, loss=1.25, tokens_per_second=None, eta_s=90.0, directory="", error="",
)  # fmt: skip


def status(stored: int = 0, **change: Any) -> Status:
    plan = replace(PLAN, stored=stored, accepted=stored // 2, rejected=stored - stored // 2)
    given: dict[str, Any] = {
        "at": 0,
        "daemon": DaemonStatus(state="running", boot_id=1),
        "spend": SPEND,
        "tasks": (),
        "plans": (plan,),
        "teachers": (),
        "runs": (),
        "alerts": (),
        "commands": (),
        **change,
    }
    return Status(**given)


def test_nothing_is_said_twice_and_counts_ever_more_rarely() -> None:
    progress = Progress(0.0)
    said = [second for second in range(1, 601) if progress.line(status(stored=second), float(second))]
    assert said[:5] == [1, 2, 4, 8, 16] and len(said) < 20
    assert max(b - a for a, b in pairwise(said)) <= MOST_S
    progress.line(status(stored=600), 690.0)
    assert not any(progress.line(status(stored=600), float(second)) for second in range(700, 900)), (
        "nothing changed"
    )


def test_a_line_has_totals_time_left_and_money() -> None:
    progress = Progress(0.0)
    progress.line(status(stored=0), 0.0)
    line = progress.line(status(stored=100), 10.0)
    assert line == "10s running | 100 of 1,000 samples (10 %), 1m30s left | 50 % correct | $0.50 of $5.00"


def test_phases_alerts_and_ends_are_said_at_once() -> None:
    progress = Progress(0.0)
    for second in range(200):
        progress.line(status(stored=second), float(second))
    run = progress.line(status(stored=200, runs=(RUN,)), 200.2)
    assert run is not None and "run 3 cot on t: training 5 of 50 steps, loss 1.250, 1m30s left" in run
    parked = status(stored=200, runs=(RUN,), alerts=(Alert(what="teacher x is parked", why="no credit"),))
    line = progress.line(parked, 200.3)
    assert line is not None and line.endswith("! teacher x is parked: no credit")
    assert progress.line(status(stored=1000, runs=(replace(RUN, state="done"),)), 200.4) is not None
    end = progress.end(status(stored=1000, runs=(replace(RUN, state="done"),)), 300.0)
    assert end == "ended after 5m00s | 1,000 samples | 50 % correct | 1 run done | $0.50 of $5.00"


def test_plans_that_share_samples_count_once() -> None:
    both = (replace(PLAN, samples="a", stored=40), replace(PLAN, id=2, samples="a", wanted=500, stored=40))
    line = Progress(0.0).line(status(plans=both), 1.0)
    assert line is not None and "40 of 1,000 samples" in line


def test_a_table_fits_its_width_or_leaves_out_what_can_be_spared() -> None:
    head = ("name", "number", "spare", "reason")
    body = [("a" * 30, "12,345", "9", "b" * 60), ("short", "1", "2", "")]
    whole = table(head, body, left=1)
    assert max(map(len, whole)) == 30 + 2 + 6 + 2 + 5 + 2 + 60
    for width in (100, 60, 30):
        lines = table(head, body, left=1, width=width, spare=("spare",))
        assert max(map(len, lines)) <= width and "12,345" in lines[1] and "…" in lines[1]
    assert "spare" in table(head, body, left=1, width=60, spare=("spare",))[0]
    assert "spare" not in table(head, body, left=1, width=27, spare=("spare",))[0]
