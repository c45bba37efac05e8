"""The panels of a run: what each says first, at any width."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from state.database import open_reader
from state.enums import RunState
from state.lineage import SourceRun
from state.views.paired import Paired, PairedRow
from state.views.runs import MetricRow, RunDetail, run_detail
from tests.tui.seeded import MINUTE, NOW
from tui.screens.run_history import RunHistory, accuracy_curves, planned, weight_curves
from tui.screens.run_panels import (
    curve_names,
    other_of,
    paint_accuracy,
    paint_against,
    paint_head,
    paint_on_test,
)
from tui.screens.run_phases import Phase, marks_in, phases_of

ROW = PairedRow(
    question_id=1,
    key="q",
    question="中国 " * 40,
    gold="8",
    own="8",
    other="11",
    own_correct=True,
    other_correct=False,
)
PAIRED = Paired(run=1, other=2, both=71, won=43, lost=23, neither=163, page=(ROW,) * 66)


@pytest.fixture
def run(seeded: Path) -> RunDetail:
    connection = open_reader(seeded)
    found = run_detail(connection, 1)
    connection.close()
    assert found is not None
    return found


@pytest.mark.parametrize("width", [1, 16, 40, 66, 120])
@pytest.mark.parametrize("height", [1, 5, 12])
def test_panels_fit_into_any_size(run: RunDetail, width: int, height: int) -> None:
    curves = accuracy_curves(run, [run])
    for lines in (
        paint_head(run, PAIRED, (Phase("training", NOW, None),), NOW, width, height),
        paint_against(PAIRED, width, height),
        paint_on_test(run, width, height),
        paint_accuracy(curves, planned(run, [])[1], width, height),
    ):
        assert len(lines) <= height
    assert all(line.cell_len <= max(66, width) for line in paint_against(PAIRED, width, height))


def test_the_first_line_is_the_result_its_certainty_and_the_difference(run: RunDetail) -> None:
    first = paint_head(run, PAIRED, (), NOW, 120, 3)[0].plain
    assert first == "80.0 % on test (58.4–91.9), n = 20, seed 0  +6.7 on run 2, p = 0.019"
    narrow = paint_head(run, PAIRED, (), NOW, 40, 1)[0].plain
    assert narrow.startswith("80.0 % on test") and "on run 2" in narrow and "seed" not in narrow


def test_a_queued_run_says_what_it_waits_for(run: RunDetail) -> None:
    source = SourceRun(id=5, role="base", student="warm", scope="coin", state=RunState.TRAINING)
    queued = replace(run, state=RunState.QUEUED, evaluations=(), sources=(source,))
    first = paint_head(queued, None, (), NOW, 80, 1)[0].plain
    assert first == "○ waiting for run 5 (warm on coin), which is training"
    ready = replace(queued, sources=(replace(source, state=RunState.DONE),))
    assert paint_head(ready, None, (), NOW, 80, 1)[0].plain == "○ waiting for a free device"


def test_won_and_lost_are_one_bar_with_its_counts(run: RunDetail) -> None:
    bar, counts, *_ = paint_against(PAIRED, 66, 12)
    assert bar.cell_len == 66
    assert counts.plain.split() == ["71", "both", "right", "43", "won", "23", "163", "both", "wrong"]
    lines = [line.plain for line in paint_against(PAIRED, 66, 12)]
    assert lines[-1] == "59 more" and lines[4].startswith("✓ won")


def test_a_run_is_compared_with_the_best_other_one_of_its_task(run: RunDetail) -> None:
    assert other_of(run) == 2
    assert other_of(replace(run, baselines=())) is None


def test_another_run_that_went_on_longer_is_seen_whole(run: RunDetail) -> None:
    curves = accuracy_curves(replace(run, evaluations=()), [run])
    assert "20" in paint_accuracy(curves, 0.0, 60, 12)[-1].plain
    assert [name.strip() for name in curve_names(curves, 40).plain.split("━") if name.strip()] == ["run 1"]


def test_phases_are_those_of_the_last_start(run: RunDetail, tmp_path: Path) -> None:
    folder = tmp_path / "runs/1"
    folder.mkdir(parents=True)
    start = run.started_at or 0
    events = [
        {"at": start - 9, "event": "starting", "phase": "importing"},
        {"at": start + 400, "event": "starting", "phase": "importing"},
        {"at": start + 2_500, "event": "starting", "phase": "building"},
        {"at": start + 5_000, "event": "loaded", "rows": 3},
        *({"at": start + 5_000 + n, "event": "step", "step": n} for n in range(5_000)),
        {"at": start + MINUTE, "event": "phase", "phase": "evaluating"},
    ]
    (folder / "progress.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events) + '{"torn')
    found = phases_of(tmp_path, run, NOW)
    assert [(phase.name, phase.seconds) for phase in found][:5] == [
        ("queued", 60.0),
        ("process", 0.4),
        ("importing", 2.1),
        ("building", 2.5),
        ("training", 55.0),
    ]
    going = phases_of(tmp_path, replace(run, ended_at=None), NOW)
    assert (going[-1].name, going[-1].seconds) == ("evaluating", None)
    assert "evaluating for 29m00s" not in paint_head(run, None, found, NOW, 200, 3)[-1].plain
    elsewhere = phases_of(tmp_path / "none", run, NOW)
    assert [phase.name for phase in elsewhere] == ["queued", "running"]
    assert marks_in([b"{", b'{"event": "phase", "phase": "x"}', b'[1, "phase"]']) == []


def test_a_run_that_selects_shows_what_each_teacher_counts_beside_dev(run: RunDetail) -> None:
    rest = {
        "loss": 1.0,
        "learning_rate": 1e-3,
        "grad_norm": None,
        "tokens_per_second": None,
        "mfu": None,
        "memory_mb": None,
    }
    told = [
        MetricRow(step=at, epoch=float(at), extra={"weight.large": value, "weight.small": 1 - value}, **rest)  # type: ignore[arg-type]
        for at, value in ((1, 0.5), (2, 0.75))
    ]
    curves = weight_curves(RunHistory(run=run, metrics=[*told, MetricRow(step=3, epoch=3.0, **rest)]))  # type: ignore[arg-type]
    assert [(line.label, line.x, line.y) for line in curves] == [
        ("large 0.75", [1.0, 2.0], [0.5, 0.75]),
        ("small 0.25", [1.0, 2.0], [0.5, 0.25]),
    ]
    assert "large 0.75" in curve_names([*curves, *accuracy_curves(run)], 80).plain
    assert not weight_curves(RunHistory(run=run, metrics=told[:0]))
