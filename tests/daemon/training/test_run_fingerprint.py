from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import pytest

from daemon.training.run_fingerprint import Settled, identity_of, renamed, run_fingerprint, settled
from engine.config import StudentConfig
from engine.config.base import Identity, Section, fields_marked
from engine.config.students import CurationConfig, EvaluationConfig, TrainingConfig
from engine.forms import FIRST
from state.enums import RunState
from state.runs import StoredRun

FIRST_RELEASE = {
    StudentConfig: (
        *("base", "method", "tasks", "plans", "rationales", "scope"),
        *("curation", "training", "evaluation"),
    ),
    CurationConfig: ("keep", "drop_duplicates", "drop_truncated", "max_characters", "drop_test_overlap"),
    TrainingConfig: (
        *("zero_stage", "epochs", "steps", "learning_rate", "warmup", "schedule", "final_learning_rate"),
        *("weight_decay", "beta1", "beta2", "clip", "lora_rank", "lora_alpha", "batch_tokens"),
        *("accumulation", "max_length", "precision", "seed"),
    ),
    EvaluationConfig: (
        *("every_epochs", "dev_evaluations", "best", "patience", "max_new_tokens", "batch_size", "grader"),
    ),
}


UNTRAINED = {"base": "some/model", "method": "base", "form": {"type": "paper"}}
SECTIONS = (StudentConfig, CurationConfig, TrainingConfig, EvaluationConfig)


def student(**settings: Any) -> StudentConfig:
    return StudentConfig.model_validate({"name": "s", **settings})


def marks() -> Iterator[tuple[str, list[Identity]]]:
    for section in SECTIONS:
        for name in section.model_fields:
            yield (
                f"{section.__name__}.{name}",
                [mark for mark in Identity if name in fields_marked(section, mark)],
            )


def test_every_setting_of_a_student_says_once_whether_it_is_part_of_its_identity() -> None:
    assert not [name for name, found in marks() if len(found) != 1]


@pytest.mark.parametrize(
    ("settings", "expected"),  # from the program before the marks
    [
        ({}, "f4cce8b300e4b2ac19100454"),
        ({"method": "fine-tune"}, "b6b990f1fe47e6e69a11ea66"),
        (
            {"training": {"zero_stage": 1, "lora_rank": 8, "epochs": 3}, "base": "t5-small"},
            "7d4e6f0de4cd2e3475c6db10",
        ),
        ({"evaluation": {"samples": 5, "temperature": 0.3}}, "63f883229dab4a0f04cc692e"),
        ({"curation": {"mix_answers": 0.3}}, "d330707ec01e0fc1926f6463"),
        ({"questions": 9}, "9e79dc53bb5011c5bacae1af"),
        ({"training": {"objective": "tokens", "tail": True}}, "f4cce8b300e4b2ac19100454"),
        ({"form": {"type": "paper"}}, "f4cce8b300e4b2ac19100454"),
    ],
)
def test_fingerprints_of_what_exists_stay(settings: dict[str, Any], expected: str) -> None:
    class Plan:
        def __init__(self, recipe: str) -> None:
            self.recipe = recipe

    plans: list[Any] = [Plan("b"), Plan("a"), Plan("a")]
    assert run_fingerprint(student(**settings), plans, ["d", "e"]) == expected


def test_the_fingerprint_of_a_run_without_a_filter_says_that_it_taught_the_teachers_answer() -> None:
    def of(**curation: Any) -> str:
        method = curation.pop("method", "fine-tune-cot")
        return run_fingerprint(student(method=method, curation=curation), [], ["d"])

    # From the program that taught the teacher's own answer under a wrong rationale, by default.
    before = {"correct": BEFORE[0], "all": BEFORE[1], "random": BEFORE[2]}
    for keep, fingerprint in before.items():
        assert of(keep=keep, labels="teacher") == fingerprint
        assert (of(keep=keep) == fingerprint) == (keep == "correct"), (
            "only rows that change are trained again"
        )
    assert of(keep="correct", labels="majority") == BEFORE[3]
    assert (
        len({of(keep="all", labels=labels) for labels in ("gold", "majority", "teacher")} | {BEFORE[4]}) == 4
    )
    assert of(keep="all", method="fine-tune") == BEFORE[5], "it reads no rationales"


BEFORE = (
    "781e64623a38997e07682bc9",
    "21d5dee48f043d2fe20acc69",
    "01aa35d7552673eee7c73b10",
    "68c7fa9d0d032c7646fe929c",
    "076d06bb5926b41b66e04533",
    "77ade4d7032dd7dbbf2af314",
)


def test_a_form_counts_unless_it_is_that_of_the_first_release() -> None:
    base = {"base": "some/model"}
    first = run_fingerprint(student(**base), [], [])
    forms = [{"type": "chat"}, {"type": "chat", "system": "Be brief."}, {"type": "plain"}]
    found = [run_fingerprint(student(**base, form=form), [], []) for form in forms]
    assert len({first, *found}) == 4
    assert run_fingerprint(student(**base, form={"type": "chat", "system": ""}), [], []) == found[0]
    assert run_fingerprint(student(**base, form={"type": "paper"}), [], []) == first


def test_without_a_form_the_base_decides_but_not_for_a_student_that_has_runs() -> None:
    chosen = student(base="some/model")
    first = run_fingerprint(chosen, [], [])
    new = settled(chosen, [], [], [stored(chosen, "other")])
    assert new.student.form is None and new.fingerprint != first and not new.runs
    again = settled(chosen, [], [], [stored(chosen, new.fingerprint)])
    assert again.student.form is None and again.fingerprint == new.fingerprint and again.runs
    for before in (settled(chosen, [], [], [stored(chosen, first)]), settled(student(), [], [], ())):
        assert before.student.form == FIRST
    assert settled(chosen, [], [], [stored(chosen, first)]).fingerprint == first, "nothing is trained again"
    said = student(base="some/model", form={"type": "chat"})
    assert settled(said, [], [], [stored(chosen, first)]) == Settled(said, run_fingerprint(said, [], []))


def stored(made: StudentConfig, fingerprint: str = "", rows: int = 16) -> StoredRun:
    """A run that was made with these settings."""
    return StoredRun(
        id=1,
        name=made.name,
        scope="t",
        trigger="complete",
        fingerprint=fingerprint or run_fingerprint(made, [], ["d"]),
        state=RunState.DONE,
        rows=rows,
        spec=json.dumps({"student": made.model_dump(mode="json")}),
    )


BATCHES = {"training": {"batch_rows": 8}}


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        ({}, {"training": {"zero_stage": 3}}, True),
        ({}, {"training": {"learning_rate": 1e-3}}, False),
        ({}, {"training": {"batch_tokens": 1024}}, False),  # other rows in a step
        ({}, {"training": {"accumulation": 2}}, False),
        ({"training": {"accumulation": 4}}, {"training": {"accumulation": 2, "devices": 2}}, True),
        (BATCHES, {"training": {"batch_rows": 4, "accumulation": 2}}, True),
        (BATCHES, {"training": {"batch_rows": 2, "devices": 2, "accumulation": 2}}, True),
        (BATCHES, {"training": {"batch_rows": 8, "batch_tokens": 64}}, True),  # rows decide
        (BATCHES, {"training": {"batch_rows": 4}}, False),
        (BATCHES, {}, False),
        ({}, {"evaluation": {"batch_size": 8}}, True),
        ({}, {"evaluation": {"max_new_tokens": 8, "grader": "paper", "samples": 5}}, True),
        ({}, {"evaluation": {"best": False}}, False),
        ({}, {"evaluation": {"dev_evaluations": 2}}, False),
        ({}, {"tasks": ["t"], "plans": ["p"]}, True),
        ({}, {"name": "other", "train_at": [0]}, True),
        (
            {"method": "fine-tune"},
            {"method": "fine-tune", "rationales": 1, "curation": {"keep": "all"}},
            True,
        ),
        ({"method": "fine-tune"}, {"method": "fine-tune", "curation": {"drop_test_overlap": False}}, False),
        ({}, {"rationales": 1}, False),
        (UNTRAINED, UNTRAINED | {"evaluation": {"patience": 3, "batch_size": 2}}, True),
        (UNTRAINED, UNTRAINED | {"evaluation": {"max_new_tokens": 8}}, False),  # it is asked, that is all
    ],
)
def test_what_changes_nothing_that_is_trained_makes_no_other_student(
    before: dict[str, Any], now: dict[str, Any], same: bool
) -> None:
    run = stored(student(**before))
    found = settled(student(**now), [], ["d"], [run])
    assert bool(found.runs) == same
    assert (found.fingerprint == run.fingerprint) == same, "it goes on with the stored one"


def test_batches_of_another_shape_are_the_same_only_where_no_step_crosses_an_epoch() -> None:
    now = student(training={"batch_rows": 4, "accumulation": 2})
    found = {
        rows: bool(settled(now, [], ["d"], [stored(student(**BATCHES), rows=rows)]).runs)
        for rows in (8, 13, 16, 17, 20)
    }
    assert found == {8: True, 13: True, 16: True, 17: False, 20: False}


def test_runs_of_another_name_are_taken_over_and_two_names_may_change_places() -> None:
    one, two = student(name="a", rationales=8), student(name="b", rationales=1)
    runs = [replace(stored(one), id=1), replace(stored(two), id=2)]

    def taken(*students: StudentConfig) -> dict[int, str]:
        known = [
            ((each.name, "t"), settled(each, [], ["d"], [run for run in runs if run.name == each.name]))
            for each in students
        ]
        return renamed(known, runs, lambda place, run: bool(settled(students[place], [], ["d"], [run]).runs))

    assert taken(one, two) == taken(two, one) == {}
    assert taken(one.model_copy(update={"name": "b"}), two.model_copy(update={"name": "a"})) == {
        1: "b",
        2: "a",
    }
    assert taken(one, one.model_copy(update={"name": "copy"}), two) == {}, "it has its own student"
    assert taken(one.model_copy(update={"name": "new"})) == {1: "new"}


class Part(Section):
    first: Annotated[int, Identity.ALWAYS] = 1
    later: Annotated[int, Identity.IF_SET] = 2
    aside: Annotated[int, Identity.NO] = 3


class Outer(Section):
    part: Annotated[Part, Identity.ALWAYS] = Part()
    names: Annotated[tuple[str, ...], Identity.IF_SET] = ()


def test_a_later_setting_counts_where_it_is_set_and_sections_are_looked_into() -> None:
    assert identity_of(Outer()) == {"part": {"first": 1}}
    assert identity_of(Outer(part=Part(first=7, later=8, aside=9), names=("a",))) == {
        "part": {"first": 7, "later": 8},
        "names": ["a"],
    }


@pytest.mark.parametrize("model", FIRST_RELEASE)
def test_every_field_says_whether_it_is_part_of_the_student(model: type[Section]) -> None:
    marked = [name for mark in Identity for name in fields_marked(model, mark)]
    assert sorted(marked) == sorted(model.model_fields), "one mark each"
    assert not fields_marked(model, Identity.BY_CONTENT)


@pytest.mark.parametrize("model", FIRST_RELEASE)
def test_a_field_that_came_after_the_first_release_counts_only_if_set(model: type[Section]) -> None:
    """Marked ALWAYS, a new field would train every student again."""
    assert set(fields_marked(model, Identity.ALWAYS)) == set(FIRST_RELEASE[model])


def test_a_run_is_never_given_to_its_own_name() -> None:
    """Whoever gives runs to names does so until there are none left: this one would be given for ever."""
    unlike, run = settled(student(), [], [], ()), stored(student())
    known = [((student().name, "t"), unlike), (("other", "t"), unlike)]
    assert renamed(known, [run], lambda place, _: place == 0) == {}
    assert renamed(known, [run], lambda place, _: True) == {1: "other"}
