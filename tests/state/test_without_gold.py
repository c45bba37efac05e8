"""A task without gold answers: what was answered is nowhere counted as correct."""

from __future__ import annotations

from daemon.cli.trainable import TrainingData
from engine.config import Config
from state.figure_data import read_figure_data
from state.views.costs import usd_per_correct
from state.views.sample_history import SampleHistory, continue_history
from state.views.status import read_status
from state.views.teacher_counts import TeacherCounts, continue_counting
from tests.state.world import World


def test_what_was_answered_is_nowhere_counted_as_correct(world: World) -> None:
    world.store(world.claim(world.plan(rationales=2), 4))
    world.connection.execute("UPDATE plan SET spent_micros = 5000000")

    def read() -> tuple[int, float, bool, float | None]:
        counts = continue_counting(world.connection, TeacherCounts(), 9.0)
        history = continue_history(world.connection, SampleHistory(), 0, 9.0)
        status = read_status(world.connection, 0, lambda pid: True)
        teacher = next(iter(world.teachers.values()))
        good = sum(correct for _, correct in history.counts.values())
        rates = read_figure_data(world.connection).pass_rates
        return (
            counts.correct(teacher),
            good,
            bool(rates),
            usd_per_correct(status.plans),
        )

    assert read() == (4, 4, True, 1.25)
    world.connection.execute("UPDATE task SET labelled = 0")
    assert read() == (0, 0, False, None)
    rows = TrainingData(world.connection, Config.model_construct(teachers={}), ["forbidden"], None)
    exported = {
        "split": "train",
        "question": "q",
        "teacher": "a",
        "finish_reason": "stop",
        "flags": [],
        "correct": None,
        "gold": "",
    }
    assert list(rows.of([exported])) == [] and rows.left_out() == ["1 without a gold answer"]
