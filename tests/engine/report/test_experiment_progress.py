from __future__ import annotations

from typing import Any

from engine.config.experiment import ExperimentConfig
from engine.report.experiment_progress import CellStanding, left, line, standings
from state.views.experiment_progress import ExperimentProgress, PlanProgress, RunProgress
from tests.engine.report.matrices import EXPERIMENT

TASK = "coin_flip"


def plan(name: str, ended: int, wanted: int = 80, fingerprint: str = "r") -> PlanProgress:
    return PlanProgress(
        id=1, name=f"x.{name}", task=TASK, fingerprint=fingerprint, wanted=wanted, ended=ended
    )


def run(student: str, state: str, **more: Any) -> RunProgress:
    given = {"id": 7, "scope": TASK, "step": 0, "steps": 0, "error": "", **more}
    return RunProgress(student=f"x.{student}", state=state, **given)


def standing(*found: PlanProgress | RunProgress) -> ExperimentProgress:
    plans = {(each.name, each.task): each for each in found if isinstance(each, PlanProgress)}
    runs = {(each.student, each.scope): each for each in found if isinstance(each, RunProgress)}
    return ExperimentProgress(config={}, tasks=(TASK,), plans=plans, runs=runs)


def base(found: ExperimentProgress, method: str = "fine-tune-cot") -> CellStanding:
    return next(each for each in standings(EXPERIMENT, found) if each.cell.method == method)


def test_before_anything_is_begun_everything_waits() -> None:
    found = standings(EXPERIMENT, standing())
    assert {each.state for each in found} == {"waiting"}
    assert len(found) == 8  # two teachers on test, fine-tune with two sizes, fine-tune-cot at four points
    assert line(EXPERIMENT, standing()) == "x: 0 of 8 cells"


def test_a_cell_tells_what_it_waits_for() -> None:
    assert base(standing(plan("good.d8", 20))).said == "waiting for samples 20 of 80"
    assert base(standing(plan("good.d8", 20))).state == "sampling"
    assert base(standing(plan("good.d8", 80))).said == "about to start"
    queued = base(standing(plan("good.d8", 80), run("fine-tune-cot.s0", "queued")))
    assert (queued.state, queued.said) == ("queued", "1 queued, about to start")
    assert base(standing(), "fine-tune").said == "about to start"  # it needs no sample
    exam = base(standing(plan("good.zero-shot-cot", 3, 4)), "zero-shot-cot")
    assert (exam.state, exam.said) == ("sampling", "waiting for samples 3 of 4")


def test_a_cell_is_done_when_all_its_seeds_are() -> None:
    first = run("fine-tune-cot.s0", "done")
    half = base(standing(plan("good.d8", 80), first, run("fine-tune-cot.s1", "training", step=5, steps=9)))
    assert (half.state, half.said, half.done) == ("training", "done 1 of 2, run 7 training step 5 of 9", 1)
    both = base(standing(plan("good.d8", 80), first, run("fine-tune-cot.s1", "done")))
    assert (both.state, both.said) == ("done", "done 2 of 2 seeds")


def test_a_failed_seed_is_named_with_its_reason() -> None:
    broken = run("fine-tune-cot.s1", "failed", error="out of\nmemory")
    found = standing(plan("good.d8", 80), run("fine-tune-cot.s0", "done"), broken)
    assert (base(found).state, base(found).said) == ("failed", "done 1 of 2, run 7 failed: out of memory")
    assert line(EXPERIMENT, found) == "x: 0 of 8 cells, 1 failed"
    rest = left(EXPERIMENT, found, standings(EXPERIMENT, found))
    assert (rest.samples, rest.runs, rest.failed) == (0, 10, 1)


def test_samples_that_plans_share_are_left_once() -> None:
    found = standing(plan("good.d8", 20), plan("good.d1", 5, 10), plan("bad.d8", 70, fingerprint="s"))
    found.plans["other", TASK] = PlanProgress(
        id=9, name="other", task=TASK, fingerprint="o", wanted=1000, ended=0
    )  # not the experiment's
    assert left(EXPERIMENT, found, standings(EXPERIMENT, found)).samples == 60 + 10


def test_only_its_tasks_count() -> None:
    named = ExperimentConfig.model_validate({"teachers": ["good"], "tasks": ["a"]})
    found = ExperimentProgress(config={}, tasks=("a", "b"), plans={}, runs={})
    assert {each.task for each in standings(named, found)} == {"a"}
