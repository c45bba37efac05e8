from __future__ import annotations

from dataclasses import replace

import pytest

from state import exports
from state.enums import Outcome
from state.exports import predictions, samples
from state.run_reports import Predictions, store_predictions
from state.runs import create_run
from tests.state.test_runs import NEW
from tests.state.world import World, ending, question_rows, stored

CONTRACT = [
    *(
        "sample_id",
        "plan",
        "task",
        "question_id",
        "split",
        "teacher",
        "strategy",
        "replicate",
        "question",
        "gold",
    ),
    *("rationale", "answer", "extracted", "correct", "flags", "finish_reason", "prompt_tokens"),
    *("completion_tokens", "cost_usd", "unknown_usd", "attempts", "created_at"),
]


def test_a_sample_has_every_field_of_the_contract(world: World) -> None:
    (sample,) = world.claim(world.plan(), 1).samples
    world.record(ending(sample, Outcome.TRANSIENT, cost=0))
    world.record(ending(sample, Outcome.RELEASED, attempt=world.open_again(sample)))
    world.record(stored(sample, attempt=world.open_again(sample), cost=1_500, finish_reason="stop"))
    (row,) = samples(world.connection)
    assert set(CONTRACT) <= set(row)
    assert {name: row[name] for name in CONTRACT if name != "created_at"} == {
        "sample_id": 1,
        "plan": "p",
        "task": "t",
        "question_id": "q0",
        "split": "train",
        "teacher": "a",
        "strategy": "zero-shot-cot",
        "replicate": 0,
        "question": "question q0?",
        "gold": "yes",
        "rationale": "because",
        "answer": "yes",
        "extracted": "yes",
        "correct": True,
        "flags": [],
        "finish_reason": "stop",
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "cost_usd": 0.0015,
        "unknown_usd": 0.0,
        "attempts": 2,  # one that failed and one that answered; what was not sent is none
    }


def test_only_stored_samples_come_out_and_ungraded_ones_say_so(world: World) -> None:
    found = world.claim(world.plan(), 4).samples
    world.record(
        *(stored(each, correct=value) for each, value in zip(found, (True, False, None), strict=False))
    )
    assert [row["correct"] for row in samples(world.connection)] == [True, False, None]


def test_pages_miss_and_repeat_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "PAGE", 2)
    world.store(world.claim(world.plan(), 5))
    assert [row["sample_id"] for row in samples(world.connection)] == [1, 2, 3, 4, 5]


def test_one_task_alone(world: World) -> None:
    world.task("u", question_rows(2))
    world.store(world.claim(world.plan(), 2))
    world.store(world.claim(world.plan("p", task="u"), 2))
    assert {row["task"] for row in samples(world.connection)} == {"t", "u"}
    assert [row["task"] for row in samples(world.connection, "u")] == ["u", "u"]
    assert list(samples(world.connection, "nothing")) == []


def test_predictions_by_task_and_student(world: World) -> None:
    runs = create_run(
        world.connection, [replace(NEW, sample_ids=()), replace(NEW, student="other", sample_ids=())]
    )
    for run in runs:
        rows = ((1, "test", "text", "yes", 1, "r"), (2, "dev", "text", None, 0, "no answer"))
        costs = ((30, 5, 1e6), (None, None, None))
        store_predictions(world.connection, [Predictions(run_id=run or 0, rows=rows, costs=costs)])
    found = list(predictions(world.connection))
    assert [(row["run"], row["split"], row["correct"]) for row in found] == [
        *((1, "dev", False), (1, "test", True), (2, "dev", False), (2, "test", True)),
    ]
    assert found[1] == {
        "run": 1,
        "student": "s",
        "task": "t",
        "question_id": "q0",
        "split": "test",
        "question": "question q0?",
        "gold": "yes",
        "completion": "text",
        "extracted": "yes",
        "correct": True,
        "reason": "r",
        "prompt_tokens": 30,
        "tokens": 5,
        "flops": 1e6,
    }
    assert {row["student"] for row in predictions(world.connection, student="other")} == {"other"}
    assert list(predictions(world.connection, task="nothing")) == []
