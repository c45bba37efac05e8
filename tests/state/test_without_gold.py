"""A task without gold answers: what was answered is nowhere counted as correct."""

from __future__ import annotations

from dataclasses import replace

from daemon.cli.run import sampled_words
from daemon.cli.samples import _state
from daemon.cli.trainable import TrainingData
from engine.config import Config
from engine.report import method_table
from state.figure_data import read_figure_data
from state.results import read_results
from state.views.costs import usd_per_correct
from state.views.sample_history import SampleHistory, continue_history
from state.views.samples import sample_rows
from state.views.status import read_status
from state.views.teacher_counts import TeacherCounts, continue_counting
from tests.state.world import World


def test_what_was_answered_is_nowhere_counted_as_correct(world: World) -> None:
    world.store(world.claim(world.plan(rationales=2), 4))
    world.connection.execute("UPDATE plan SET spent_micros = 5000000")

    def read() -> tuple[int, float, bool, float | None, str]:
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
            sampled_words(status),
        )

    with_gold = read()
    assert with_gold[:4] == (4, 4, True, 1.25) and with_gold[4].startswith("samples: 4, 4 correct")
    world.connection.execute("UPDATE task SET labelled = 0")
    world.connection.execute("UPDATE question SET gold = ''")
    assert {_state(row) for row in sample_rows(world.connection, [1, 2]).values()} == {"answered"}
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
    assert read() == (0, 0, False, None, "samples: 4, 4 answered (no gold answer)")


def test_a_task_without_test_questions_has_no_row_of_chance(world: World) -> None:
    results = read_results(world.connection)
    assert method_table(results) == {}, "its questions are all of train"
    [task] = results.tasks
    assert [
        cell.kind
        for cell in method_table(replace(results, tasks=(replace(task, questions=(("q", "yes"),)),)))["t"]
    ] == ["random"]
