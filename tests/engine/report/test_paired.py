from __future__ import annotations

import random

import pytest

from engine.report.paired import compare, difference, holm
from state.confidence_interval import mcnemar


def run(marks: str) -> dict[int, bool]:
    """By question: `+` is a correct answer, and a space none at all."""
    return {at: mark == "+" for at, mark in enumerate(marks) if mark != " "}


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [((36, 12, 2, 0), 0.0569, 0.3404), ((0, 12, 2, 36), 0.0569, 0.3404)],  # Newcombe (1998), method 10
)
def test_the_interval_is_that_of_the_source(
    table: tuple[int, int, int, int], low: float, high: float
) -> None:
    found = difference(*table)
    assert found.points == pytest.approx(0.2)
    assert (found.low, found.high) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))


def test_the_test_is_mcnemar_s_exact_one() -> None:
    assert mcnemar(12, 2) == mcnemar(2, 12) == pytest.approx(2 * (1 + 14 + 91) / 2**14)
    assert mcnemar(0, 0) == mcnemar(3, 3) == 1.0
    assert mcnemar(0, 1000) == pytest.approx(2 / 2**1000)


def test_the_interval_covers_the_difference() -> None:
    rng = random.Random(0)
    covered = 0
    for _ in range(1000):
        counts = [0, 0, 0, 0]
        for _ in range(100):
            counts[rng.choices(range(4), weights=(50, 20, 8, 22))[0]] += 1
        found = difference(*counts)
        covered += found.low <= 0.12 <= found.high
    assert 930 <= covered <= 975


def test_turned_round_it_is_the_same() -> None:
    one, other = difference(5, 4, 1, 9), difference(5, 1, 4, 9)
    assert (one.points, one.low, one.high, one.p) == (-other.points, -other.high, -other.low, other.p)
    with pytest.raises(ValueError, match="no questions"):
        difference(0, 0, 0, 0)


def test_one_seed_each_is_the_exact_comparison_on_the_questions_of_both() -> None:
    found = compare([run("+--+-- ")], [run("++-----")])
    assert found == difference(1, 1, 1, 3)
    assert compare([run("+ ")], [run(" +")]) is None
    assert compare([], [run("+")]) is None


def test_several_seeds_turned_round_are_the_same() -> None:
    one = [run("++++-+--" * 5), run("++-+-+--" * 5), run("+++--+--" * 5)]
    other = [run("+--+----" * 5), run("+-+-----" * 5)]
    found, turned = compare(one, other), compare(other, one)
    assert found is not None and turned is not None
    assert found.points == pytest.approx(-turned.points) and found.p == pytest.approx(turned.p)
    assert (found.low, found.high) == (pytest.approx(-turned.high), pytest.approx(-turned.low))
    assert (found.seeds, found.n) == ((3, 2), 40)
    assert found.low < found.points < found.high


def test_the_p_of_several_seeds_agrees_with_the_interval() -> None:
    base = [run("+--+----" * 20), run("+-------" * 20), run("++-+----" * 20)]
    assert (same := compare(base, base[::-1])) is not None and same.points == 0 and same.p > 0.99
    better = [{key: value or key % 8 == 7 for key, value in each.items()} for each in base]
    for first in (better, [run("+" * 160)] * 3, [run("++-+----" * 20)] * 3):
        found = compare(first, base)
        assert found is not None
        assert (found.p < 0.05) == (not found.low <= 0 <= found.high)


def test_seeds_that_disagree_make_a_difference_unsure() -> None:
    steady = compare([run("+++-" * 25)] * 3, [run("++--" * 25)] * 3)
    shaky = compare([run("+" * 100), run("+++-" * 25), run("++--" * 25)], [run("++--" * 25)] * 3)
    assert steady is not None and shaky is not None
    assert steady.points == shaky.points == 0.25
    assert steady.p < 0.01 < shaky.p
    assert shaky.high - shaky.low > 2 * (steady.high - steady.low)


def test_where_the_arms_hardly_differ_the_interval_is_no_narrower_than_one_seed_s() -> None:
    found = compare([run("+" * 50)] * 3, [run("+" * 50)] * 3)
    once = compare([run("+" * 50)], [run("+" * 50)])
    assert found is not None and once is not None
    assert found.high - found.low >= once.high - once.low > 0.1
    few = compare([run("+++")] * 3, [run("---")] * 3)
    assert few is not None and few.p >= 0.25  # three questions cannot tell more


def test_holm_corrects_from_the_smallest() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.2]) == [0.2] and holm([]) == []
    assert holm([0.9, 0.8, 0.001]) == pytest.approx([1.0, 1.0, 0.003])
    rng = random.Random(0)
    for _ in range(50):
        ps = [rng.random() for _ in range(6)]
        found = holm(ps)
        assert all(p <= corrected <= min(1.0, 6 * p) for p, corrected in zip(ps, found, strict=True))
        assert sorted(range(6), key=ps.__getitem__) == sorted(range(6), key=lambda at: (found[at], ps[at]))
