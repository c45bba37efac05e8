from __future__ import annotations

from itertools import pairwise

import pytest

from tui.widgets.row_order import RowOrder, permuted, unpermuted


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16, 17, 100, 1_000])
@pytest.mark.parametrize("seed", [0, 1, 7])
def test_every_row_is_somewhere_once(size: int, seed: int) -> None:
    images = [permuted(value, size, seed) for value in range(size)]
    assert sorted(images) == list(range(size))
    assert [unpermuted(value, size, seed) for value in images] == list(range(size))


def test_it_looks_random_and_seeds_differ() -> None:
    size = 10_000
    orders = [[permuted(value, size, seed) for value in range(300)] for seed in range(3)]
    for order in orders:
        assert abs(sum(order) / len(order) - size / 2) < size / 10
        assert sum(abs(one - two) < size / 100 for one, two in pairwise(order)) < 20
    assert len({tuple(order) for order in orders}) == 3


@pytest.mark.parametrize(
    "order",
    [RowOrder(), RowOrder(newest_first=False), RowOrder(seed=3, shuffled=7), RowOrder(seed=3, shuffled=10)],
)
def test_rank_and_row_are_inverse(order: RowOrder) -> None:
    ranks = [order.rank(index, 10) for index in range(10)]
    assert sorted(ranks) == list(range(10))
    assert [order.index(rank, 10) for rank in ranks] == list(range(10))


def test_rows_that_come_later_move_no_other() -> None:
    order = RowOrder(seed=0, shuffled=50)
    before = [order.rank(index, 50) for index in range(50)]
    assert [order.rank(index, 60) for index in range(60)] == [*before, *range(50, 60)]
    assert order.within(60) is order and order.within(20).shuffled == 20
