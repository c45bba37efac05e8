from __future__ import annotations

import random

import numpy as np
import pytest

from engine.students.batches import BatchPlan

_CHANCE = random.Random(3)
LENGTHS = [_CHANCE.randint(5, 60) for _ in range(97)]


def plan(**changes) -> BatchPlan:
    return BatchPlan(**{"lengths": LENGTHS, "batch_tokens": 160, "seed": -1} | changes)


def taken(batches: BatchPlan, steps: int, world: int = 1, accumulation: int = 1) -> list:
    return [
        [
            [index.tolist() for index in rank]
            for rank in batches.step(step, world=world, accumulation=accumulation)
        ]
        for step in range(steps)
    ]


def test_an_epoch_has_every_row_once_within_the_budget() -> None:
    batches = plan()
    for epoch in range(3):
        groups = [
            batches.micro_batch(epoch * batches.micro_batches + i) for i in range(batches.micro_batches)
        ]
        assert sorted(np.concatenate(groups).tolist()) == list(range(len(LENGTHS)))
        for group in groups:
            assert len(group) * max(LENGTHS[index] for index in group) <= 160


def test_a_student_that_goes_on_sees_the_epochs_that_follow() -> None:
    whole, rest = plan(), plan(begin=2)
    each = whole.micro_batches
    assert taken(rest, 2 * each) == taken(whole, 4 * each)[2 * each :]
    assert rest.epochs(each, world=1, accumulation=1) == 1


def test_rows_of_like_length_go_together() -> None:
    batches = plan()
    padded = sum(
        len(group) * max(LENGTHS[index] for index in group)
        for group in (batches.micro_batch(number) for number in range(batches.micro_batches))
    )
    assert padded < 1.1 * sum(LENGTHS)


def test_a_batch_of_rows_has_that_many_whatever_their_length() -> None:
    batches = plan(lengths=range(5, 102), batch_rows=8)
    assert batches.micro_batches == 13
    epochs = [[batches.micro_batch(13 * epoch + i) for i in range(13)] for epoch in range(2)]
    for groups in epochs:
        assert [len(group) for group in groups] == [8] * 12 + [1]
        assert sorted(np.concatenate(groups).tolist()) == list(range(97))
    first, second = (np.concatenate(groups).tolist() for groups in epochs)
    assert first != second
    assert taken(plan(lengths=range(5, 102), batch_rows=8), 20)[5:] == taken(batches, 20)[5:]
    assert np.mean([np.ptp(group) for group in epochs[0][:12]]) > 50, "long and short rows are mixed"


def test_a_row_longer_than_the_budget_stands_alone() -> None:
    batches = plan(lengths=[500, 3, 400], batch_tokens=100)
    assert sorted(batches.micro_batch(number).tolist() for number in range(3)) == [[0], [1], [2]]


def test_the_order_is_a_function_of_seed_and_step_alone() -> None:
    whole = taken(plan(), 80)
    fresh = plan()
    assert [taken_again for step in (70, 3, 41) for taken_again in taken(fresh, 80)[step : step + 1]] == [
        whole[70],
        whole[3],
        whole[41],
    ]
    backwards = plan()
    assert [
        [[index.tolist() for index in rank] for rank in backwards.step(step, world=1, accumulation=1)]
        for step in reversed(range(80))
    ] == whole[::-1]
    assert taken(plan(seed=2), 80) != whole
    epoch = plan().micro_batches
    assert sorted(map(str, whole[:epoch])) != sorted(map(str, whole[epoch : 2 * epoch]))


@pytest.mark.parametrize(("world", "accumulation"), [(1, 4), (2, 2), (4, 1)])
def test_a_step_has_the_same_rows_on_any_number_of_ranks(world, accumulation) -> None:
    alone = [sorted(index for batch in step[0] for index in batch) for step in taken(plan(), 30, 1, 4)]
    spread = [
        sorted(index for rank in step for batch in rank for index in batch)
        for step in taken(plan(), 30, world, accumulation)
    ]
    assert spread == alone


def test_epochs_are_counted_in_micro_batches() -> None:
    batches = plan()
    assert batches.epochs(batches.micro_batches, world=2, accumulation=3) == 6.0


def test_packed_batches_are_as_many_rows_as_the_budget_holds() -> None:
    batches = plan(packed=True)
    for epoch in range(2):
        groups = [
            batches.micro_batch(epoch * batches.micro_batches + i) for i in range(batches.micro_batches)
        ]
        assert sorted(np.concatenate(groups).tolist()) == list(range(len(LENGTHS)))
        totals = [sum(LENGTHS[index] for index in group) for group in groups]
        assert max(totals) <= 160
        assert sum(totals) > 0.8 * 160 * (len(groups) - 1)
    assert taken(plan(packed=True), 30) == taken(plan(packed=True), 30)
