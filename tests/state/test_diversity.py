from __future__ import annotations

import pytest

from state.diversity import diversity


def test_the_same_is_0_and_nothing_in_common_is_1() -> None:
    same = diversity(["So it is 5.", "so  it is 5"])
    assert same is not None and (same.distance, same.of) == (0.0, 2)
    other = diversity(["So it is 5.", "We add 2 and 3."])
    assert other is not None and (other.distance, other.distinct) == (1.0, 2)


def test_it_is_the_mean_over_pairs_and_depends_on_no_length() -> None:
    # bigrams ab bc | ab bd | ab bc: 1 of 3 in common, then 2 of 2
    found = diversity(["a b c", "a b d", "A b\nc"])
    assert found is not None
    assert found.distance == pytest.approx((2 / 3 + 0 + 2 / 3) / 3)
    assert (found.distinct, found.of) == (2, 3)
    doubled = diversity(["a b c", "a b d"] * 4)
    assert doubled is not None and doubled.distance == pytest.approx(16 / 28 * 2 / 3)


@pytest.mark.parametrize("texts", [[], ["alone"]])
def test_one_has_none(texts: list[str]) -> None:
    assert diversity(texts) is None


def test_texts_without_words() -> None:
    found = diversity(["", "…", "5"])
    assert found is not None and found.distance == pytest.approx(2 / 3)


def test_many_are_compared_by_the_first_ones() -> None:
    found = diversity(["a b"] * 24 + ["c d"] * 200)
    assert found is not None and (found.distance, found.of) == (0.0, 224)
