"""Pseudo-labels, and rationales that were made with a hint."""

from __future__ import annotations

from engine.config.students import CurationConfig
from engine.curation import curate
from state.training_samples import StoredSample

FORMATS = {1: "number"}


def sample(
    number: int, question: int, extracted: str | None, *, correct: bool = False, hinted: bool = False
) -> StoredSample:
    return StoredSample(
        sample_id=number, question_id=question, question="q?", gold="9", rationale=f"Way {number}.",
        extracted=extracted, correct=correct, truncated=False, hinted=hinted, task_id=1,
    )  # fmt: skip


def test_the_majority_decides_without_the_gold_answer() -> None:
    given = [
        sample(1, 1, "5"), sample(2, 1, "9", correct=True), sample(3, 1, "5.0"),  # most say 5, though 9 is right
        sample(4, 2, "7"), sample(5, 2, "8"),  # nobody agrees
        sample(6, 3, None),
    ]  # fmt: skip
    done = curate(given, rationales=8, settings=CurationConfig(labels="majority"), formats=FORMATS)
    assert [each.sample_id for each in done.samples] == [1, 3]
    assert {key: (vote.answer, vote.votes, vote.of) for key, vote in done.labels.items()} == {1: ("5", 2, 3)}
    assert done.drops == {"no majority": 3, "differs from the majority": 1}
    assert len(given) == len(done.samples) + sum(done.drops.values())


def test_without_a_filter_the_majority_labels_every_rationale_of_its_question() -> None:
    given = [
        sample(1, 1, "5"), sample(2, 1, "9", correct=True), sample(3, 1, "5.0"),
        sample(4, 2, "7"), sample(5, 2, "8"),
    ]  # fmt: skip
    settings = CurationConfig(keep="all", labels="majority")
    done = curate(given, rationales=8, settings=settings, formats=FORMATS)
    assert [each.sample_id for each in done.samples] == [1, 2, 3] and done.drops == {"no majority": 2}
    assert {key: vote.answer for key, vote in done.labels.items()} == {1: "5"}
    control = curate(
        given, rationales=8, settings=CurationConfig(keep="random", labels="majority"), formats=FORMATS
    )
    assert len(control.samples) == 2 and set(control.labels) == {1}


def test_hinted_rationales_are_read_only_where_asked_for_and_never_vote() -> None:
    given = [sample(1, 1, "9", correct=True), sample(2, 1, "9", correct=True, hinted=True)]
    plain = curate(given, rationales=8, settings=CurationConfig())
    assert [each.sample_id for each in plain.samples] == [1] and plain.drops == {"hinted": 1}
    both = curate(given, rationales=8, settings=CurationConfig(hinted=True))
    assert [each.sample_id for each in both.samples] == [1, 2] and both.labels == {}
    voted = curate(
        given, rationales=8, settings=CurationConfig(hinted=True, labels="majority"), formats=FORMATS
    )
    assert voted.drops == {"no majority": 2}
