from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config.students import CurationConfig
from engine.curation import HELD_OUT, Curated, curate
from engine.curation.selection import REASONS
from engine.seeded_order import first
from state.training_samples import StoredSample


def sample(number: int, *, question: int = 1, **more: Any) -> StoredSample:
    fields = {
        "question": f"question {question}?",
        "gold": "yes",
        "rationale": f"rationale {number}",
        "extracted": "yes",
        "correct": True,
        "truncated": False,
    }
    return StoredSample(sample_id=number, question_id=question, **{**fields, **more})


def chosen(
    samples: list[StoredSample], *, rationales: int = 8, left_out: set[int] | None = None, **settings: Any
) -> Curated:
    return curate(
        samples,
        rationales=rationales,
        settings=CurationConfig.model_validate(settings),
        left_out=dict.fromkeys(left_out or (), HELD_OUT),
    )


def ids(found: Curated) -> list[int]:
    return [each.sample_id for each in found.samples]


def test_good_rationales_stay_in_order() -> None:
    found = chosen([sample(3), sample(1), sample(2, question=2)])
    assert ids(found) == [3, 1, 2]
    assert found.drops == {}
    assert found.questions == 2


@pytest.mark.parametrize(
    ("bad", "reason", "lifted"),
    [
        ({"correct": False}, "wrong answer", {"keep": "all"}),
        ({"rationale": " \n"}, "empty rationale", None),
        ({"truncated": True}, "truncated", {"drop_truncated": False}),
        ({"incomplete": True}, "not a whole answer", None),
        ({"rationale": "x" * 8001}, "too long", {"max_characters": 8001}),
        ({"question": 9}, HELD_OUT, None),
        ({"rationale": "RATIONALE  1 "}, "duplicate rationale", {"drop_duplicates": False}),
    ],
)
def test_each_reason_drops_and_can_be_lifted(
    bad: dict[str, Any], reason: str, lifted: dict[str, Any] | None
) -> None:
    fields = {**bad}
    question = fields.pop("question", 1)
    samples = [sample(1), sample(2, question=question, **fields), sample(3)]
    found = chosen(samples, left_out={9})
    assert ids(found) == [1, 3]
    assert found.drops == {reason: 1}
    if lifted is not None:
        assert ids(chosen(samples, left_out={9}, **lifted)) == [1, 2, 3]


def test_at_most_d_a_question_the_first_ones() -> None:
    samples = [sample(number, question=number % 2) for number in range(6)]
    found = chosen(samples, rationales=2)
    assert ids(found) == [0, 1, 2, 3]
    assert found.drops == {"more than D per question": 2}


def test_what_is_dropped_takes_no_place_of_d() -> None:
    samples = [sample(1, correct=False), sample(2), sample(3, rationale="rationale 2"), sample(4), sample(5)]
    found = chosen(samples, rationales=2)
    assert ids(found) == [2, 4]
    assert found.drops == {"wrong answer": 1, "duplicate rationale": 1, "more than D per question": 1}


def test_the_same_rationale_of_another_question_is_no_duplicate() -> None:
    assert ids(chosen([sample(1, rationale="so"), sample(2, question=2, rationale="so")])) == [1, 2]


def test_the_first_reason_that_holds_counts_and_drops_are_in_order() -> None:
    worst = sample(1, question=9, correct=False, truncated=True, rationale="")
    found = chosen([sample(2), sample(3, rationale="rationale 2"), worst], left_out={9})
    assert list(found.drops.items()) == [("wrong answer", 1), ("duplicate rationale", 1)]


def test_nothing_in_nothing_out() -> None:
    found = chosen([])
    assert (found.samples, found.drops, found.questions) == ((), {}, 0)


@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(["", "a", "A ", "b", "c", "x" * 30]),
            st.booleans(),
            st.booleans(),
        ),
        max_size=30,
    ),
    rationales=st.integers(1, 3),
    keep=st.sampled_from(["correct", "all"]),
    left_out=st.sets(st.integers(0, 3)),
)
def test_counts_add_up_and_nothing_forbidden_stays(rows, rationales, keep, left_out) -> None:
    samples = [
        sample(number, question=question, rationale=text, correct=correct, truncated=truncated)
        for number, (question, text, correct, truncated) in enumerate(rows)
    ]
    found = chosen(samples, rationales=rationales, left_out=left_out, keep=keep, max_characters=20)
    assert len(found.samples) + sum(found.drops.values()) == len(samples)
    assert list(found.drops) == [reason for reason in REASONS if reason in found.drops]
    assert ids(found) == sorted(ids(found))
    texts = [(each.question_id, each.rationale.strip().casefold()) for each in found.samples]
    assert len(set(texts)) == len(texts)
    for question in range(4):
        mine = [each for each in found.samples if each.question_id == question]
        assert len(mine) <= rationales
        assert not mine or question not in left_out
    assert all(each.rationale and not each.truncated and len(each.rationale) <= 20 for each in found.samples)
    assert keep == "all" or all(each.correct for each in found.samples)
    assert chosen(samples, rationales=rationales, left_out=left_out, keep=keep, max_characters=20) == found


def test_the_random_control_is_as_large_as_the_filtered_set_and_drawn_from_all() -> None:
    samples = [sample(number, question=number % 10, correct=number % 3 == 0) for number in range(60)]
    filtered = chosen(samples)
    drawn = [
        curate(samples, rationales=8, settings=CurationConfig(keep="random"), seed=seed) for seed in (0, 1)
    ]
    assert len(filtered.samples) == 20
    for found in drawn:
        assert len(found.samples) == 20
        assert ids(found) == sorted(ids(found))
        assert any(not each.correct for each in found.samples)
        assert found.drops == {"not drawn for the random control": 40}
    assert ids(drawn[0]) != ids(drawn[1])


def test_fewer_questions_are_part_of_more() -> None:
    few, more = (first(range(100), count, seed=3) for count in (10, 30))
    assert len(few) == 10
    assert few < more
    assert first(range(100), 10, seed=4) != few
    samples = [sample(number, question=number) for number in range(100)]
    found = curate(samples, rationales=8, settings=CurationConfig(), questions=few)
    assert {each.question_id for each in found.samples} == few
    assert found.drops == {"question not drawn": 90}


def rated(question: int, *correct: bool, start: int = 0, **more: Any) -> list[StoredSample]:
    return [
        sample(100 * question + start + place, question=question, correct=right, **more)
        for place, right in enumerate(correct)
    ]


def test_questions_outside_the_band_of_pass_rates_are_left_out() -> None:
    samples = rated(1, True, True) + rated(2, True, False) + rated(3, False, True, False, False)
    found = chosen(samples, min_pass_rate=0.5, max_pass_rate=0.9)
    assert ids(found) == [200]
    assert found.drops == {"too hard or too easy": 6, "wrong answer": 1}
    assert ids(chosen(samples, min_pass_rate=0.25)) == [100, 101, 200, 301]  # the ends belong to it
    assert ids(chosen(samples, max_pass_rate=0.5, keep="all")) == [200, 201, 300, 301, 302, 303]


def test_hinted_rationales_do_not_make_a_question_easy() -> None:
    samples = rated(1, True, False, False) + rated(1, True, True, start=10, hinted=True)
    assert ids(chosen(samples, min_pass_rate=0.5, hinted=True)) == []
    assert ids(chosen(samples, max_pass_rate=0.5, hinted=True)) == [100, 110, 111]


def test_of_each_teacher_at_most_so_many_are_read() -> None:
    samples = rated(1, True, True, True, teacher="a") + rated(1, True, False, True, start=10, teacher="b")
    found = chosen(samples, per_teacher=1)
    assert ids(found) == [100, 110]
    assert found.drops == {"wrong answer": 1, "more than per_teacher per teacher": 3}
    assert ids(chosen(samples, per_teacher=2, rationales=3)) == [100, 101, 110]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_pass_rate": 0.6, "max_pass_rate": 0.5}, "must not exceed"),
        ({"min_pass_rate": 0.5, "labels": "majority"}, "does not use"),
        ({"mix_answers": 1.0}, "less than or equal to 0.9"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CurationConfig.model_validate(settings)
