"""What makes a plan itself: fingerprints stay what they were, and change with what a teacher would see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from daemon.catalog.plan_fingerprint import plan_fingerprint
from engine.config import PlanConfig, TeacherConfig
from engine.config.base import Identity, fields_marked
from engine.grading.format import Phrases
from engine.grading.formats import FORMATS
from engine.strategies import STRATEGIES, Exemplar, Wording
from tests.daemon.parts import teacher_config

FIRST_FORMATS = ("number", "choice", "yes_no", "text", "date", "math")
FIRST_RELEASE = {
    "zero-shot": [
        "93cb99ef7fe1c056efe0fff3",
        "a1d20fc5373e6b4e8b67b398",
        "4be940dbc7a5b6f96a572737",
        "b097b259059c6e3fd785bead",
    ],
    "zero-shot-cot": [
        "56a9ec7d094a5b41a9bce7a9",
        "04ca951ae03027c6442c326a",
        "3fefc086de043d1c11c70580",
        "54ca910a92d980c84d58f038",
    ],
    "zero-shot-cot-chat": [
        "27d6f337deeeb037eac69d73",
        "e42c05d3274da87cc414cf33",
        "d057f7428d4a22011c0854f9",
        "e316c5e785022aa595f8a344",
    ],
    "few-shot-cot": [
        "a206ab1d8d178d8d43fa8ee9",
        "d416f677829cac0cda779850",
        "5dff603153acb6a3fa5dfa66",
        "c84deea63fc40baf377234d9",
    ],
    "rationalize": [
        "35ff751ca16c17f082cdbaaa",
        "bcc7e613501eadd2ea1153dc",
        "9071649780e495d35e5e4678",
        "e3397fc358adc01098520339",
    ],
}
"""Fingerprints of the first release, by strategy: plain, with sampling parameters, with a wording, of two teachers."""

SAMPLING = {
    **{"temperature": 0.2, "top_p": 0.9, "seed": 7, "max_tokens": 512, "answer_max_tokens": 16},
    **{"stop": ["END"], "logprobs": 3, "per_request": 4},
}
WORDING = Wording(
    prompt="{question}!",
    trigger="So:",
    exemplars=(Exemplar(question="q", rationale="r", answer="a"),),
)
TWO_TEACHERS = [
    TeacherConfig(
        base_url="http://a/v1",
        model="m",
        dialect="openai-batch",
        extra_body={"b": 1, "a": [2]},
        omit=["temperature", "seed"],
    ),
    TeacherConfig(base_url="http://a/v1", model="n", dialect="anthropic-messages"),
]
PRACTICE = [TeacherConfig(builtin=True, model="practice-large")]


def planned(strategy: str, **settings: Any) -> PlanConfig:
    facts = STRATEGIES[strategy]
    others = {"needs": "q" if facts.hinted else None, "scores": "q" if facts.scores else None}
    left_out = (
        ("rationales", "per_request") if facts.scores else ("per_request", "logprobs") if facts.panel else ()
    )
    settings = {key: value for key, value in settings.items() if key not in left_out}
    return PlanConfig.model_validate({"name": "p", "strategy": strategy, **others, **settings})


def of_first_release(strategy: str, form: str) -> list[str]:
    plan = planned(strategy)
    return [
        plan_fingerprint(plan, PRACTICE, form),
        plan_fingerprint(planned(strategy, **SAMPLING), PRACTICE, form),
        plan_fingerprint(plan, PRACTICE, form, WORDING),
        plan_fingerprint(plan, TWO_TEACHERS, form),
    ]


@pytest.mark.parametrize("form", FIRST_FORMATS)
@pytest.mark.parametrize("strategy", FIRST_RELEASE)
def test_what_was_paid_for_in_the_first_release_is_the_same_plan(strategy: str, form: str) -> None:
    assert of_first_release(strategy, form) == FIRST_RELEASE[strategy]


@pytest.fixture
def with_essay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A further format is registered."""
    phrases = Phrases(direct="The essay is", after_rationale="Therefore, the essay is", described="an essay")
    monkeypatch.setitem(FORMATS, "essay", replace(FORMATS["text"], name="essay", phrases=phrases))


@pytest.mark.usefixtures("with_essay")
def test_a_further_format_changes_no_plan() -> None:
    for strategy, wanted in FIRST_RELEASE.items():
        assert all(of_first_release(strategy, form) == wanted for form in FIRST_FORMATS)


def test_a_further_format_is_not_even_seen_by_plans_of_a_format_that_came_later(
    request: pytest.FixtureRequest,
) -> None:
    before = {name: of_first_release(name, "interval") for name in STRATEGIES}
    request.getfixturevalue("with_essay")
    assert {name: of_first_release(name, "interval") for name in STRATEGIES} == before


@pytest.mark.usefixtures("with_essay")
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_phrase_of_a_later_format_is_part_of_its_plans(
    strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the strategy's requests contain it: worked examples need no phrase."""
    asks = STRATEGIES[strategy].phrase is not None
    essay, interval = of_first_release(strategy, "essay"), of_first_release(strategy, "interval")
    assert (essay == interval) is not asks
    other = Phrases(direct="Essay:", after_rationale="So, the essay:", described="one essay")
    monkeypatch.setitem(FORMATS, "essay", replace(FORMATS["essay"], phrases=other))
    assert (of_first_release(strategy, "essay") == essay) is not asks


@pytest.mark.parametrize("changed", ["phrases", "phrases_without_options"])
def test_another_phrase_of_a_first_format_changes_its_own_plans_alone(
    changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Phrases(direct="Choose:", after_rationale="So choose:", described="one letter")
    monkeypatch.setitem(FORMATS, "choice", replace(FORMATS["choice"], **{changed: other}))
    for strategy, wanted in FIRST_RELEASE.items():
        asks = STRATEGIES[strategy].phrase is not None
        assert (of_first_release(strategy, "choice") == wanted) is not asks
        assert of_first_release(strategy, "text") == wanted


def test_a_changed_template_makes_other_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FIRST_RELEASE:
        strategy = STRATEGIES[name]
        template = replace(strategy.templates["prompt"], text="{question}, please")
        other = replace(strategy, templates={**strategy.templates, "prompt": template})
        monkeypatch.setitem(STRATEGIES, name, other)
        assert not set(of_first_release(name, "number")) & set(FIRST_RELEASE[name])


def test_every_field_of_a_plan_says_whether_it_is_part_of_it() -> None:
    marked = {mark: set(fields_marked(PlanConfig, mark)) for mark in Identity}
    assert set().union(*marked.values()) == set(PlanConfig.model_fields)
    assert sum(map(len, marked.values())) == len(PlanConfig.model_fields), "one mark each"
    assert marked[Identity.ALWAYS] == {
        *("strategy", "temperature", "top_p", "seed", "max_tokens", "answer_max_tokens")
    }, "a field that comes later is marked IF_SET: what was paid for before must stay"


@pytest.mark.parametrize("name", fields_marked(PlanConfig, Identity.ALWAYS, Identity.IF_SET))
def test_a_marked_field_changes_the_fingerprint(name: str) -> None:
    others = {"strategy": "zero-shot", "stop": ["END"], "top_p": 0.5, "temperature": 0.1}
    assert fingerprint(**{name: others.get(name, 9)}) != fingerprint()


def fingerprint(**settings: Any) -> str:
    return plan_fingerprint(
        PlanConfig.model_validate({"name": "p", **settings}), [teacher_config()], "number"
    )


def test_fingerprints_of_earlier_versions_hold() -> None:
    assert fingerprint() == "0dd0ef19901a56f35e1dbe00"
    assert fingerprint(seed=3, rationales=8) == "0f81bc185daabef5ef11dba4"
    assert fingerprint(stop=[], logprobs=0, per_request=1) == fingerprint()


def test_what_a_teacher_would_see_changes_them() -> None:
    found = [
        *(fingerprint(), fingerprint(stop=["END"]), fingerprint(stop=["\n"])),
        *(fingerprint(logprobs=1), fingerprint(logprobs=5)),
    ]
    assert len(set(found)) == 5


def test_how_many_are_asked_for_at_once_matters_only_with_a_seed() -> None:
    assert fingerprint(per_request=4) == fingerprint()
    assert fingerprint(per_request=4, seed=3) != fingerprint(seed=3) == fingerprint(per_request=1, seed=3)


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({"name": "renamed"}, True),
        ({"rationales": 16}, True),
        ({"weight": 2.0}, True),
        ({"budget_usd": 1.0}, True),
        ({"stop_after_correct": 1}, True),
        ({"stop_after_wrong": 1}, True),
        ({"max_rationales": 9}, True),
        ({"correct_per_task": 100}, True),
        ({"temperature": 0.6}, False),
        ({"max_tokens": 100}, False),
        ({"top_p": 0.9}, False),
        ({"strategy": "zero-shot-cot-chat"}, False),
        ({"answer_max_tokens": 8}, False),
    ],
)
def test_what_makes_another_plan(settings: dict[str, Any], same: bool) -> None:
    teachers = [teacher_config()]
    plan = {"name": "p", "rationales": 2}
    base = plan_fingerprint(PlanConfig.model_validate(plan), teachers, "number")
    assert (
        plan_fingerprint(PlanConfig.model_validate({**plan, **settings}), teachers, "number") == base
    ) is same


def test_a_wording_makes_another_plan_and_the_default_the_same() -> None:
    teachers, plan = [teacher_config()], PlanConfig.model_validate({"name": "p", "strategy": "few-shot-cot"})
    example = Exemplar(question="q", rationale="r", answer="a")
    fingerprints = [
        plan_fingerprint(plan, teachers, "number", wording)
        for wording in (Wording(), Wording(prompt="x"), Wording(trigger="x"), Wording(exemplars=(example,)))
    ]
    assert len(set(fingerprints)) == 4 and fingerprints[0] == plan_fingerprint(plan, teachers, "number")
    # of the first release: a field that came later must not make what was paid for another plan
    default = plan_fingerprint(
        PlanConfig.model_validate({"name": "p"}),
        [TeacherConfig(builtin=True, model="practice-large")],
        "number",
    )
    assert default == "56a9ec7d094a5b41a9bce7a9"


def test_what_makes_another_teacher() -> None:
    plan = PlanConfig.model_validate({"name": "p"})

    def of(*teachers: dict[str, Any]) -> str:
        return plan_fingerprint(plan, [teacher_config(**each) for each in teachers], "number")

    assert of({}) == of({}, {}) == of({"concurrency": 3, "usd_per_million_input": 1.0, "max_attempts": 2})
    assert of({"model": "x"}, {"model": "y"}) == of({"model": "y"}, {"model": "x"})
    assert (
        len(
            {
                of({}),
                of({"model": "x"}),
                of({"extra_body": {"seed": 1}}),
                of({"extra_body": {"thinking": {"type": "enabled", "budget_tokens": 1024}}}),
                of({"extra_body": {"thinking": {"type": "enabled", "budget_tokens": 2048}}}),
                of({"omit": ["temperature"]}),
                of({"dialect": "openai-completions"}),
            }
        )
        == 7
    )
    one = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "a": [1, {"b": 2, "c": 3}]}
    other = {"a": [1, {"c": 3, "b": 2}], "thinking": {"budget_tokens": 1024, "type": "enabled"}}
    assert of({"extra_body": one}) == of({"extra_body": other})  # the order in the file is no matter
    assert of({"omit": ["seed", "top_p"]}) == of({"omit": ["top_p", "seed"]})


def test_a_teacher_that_errs_in_another_way_is_another_one() -> None:
    """Its samples are never shared with those of a teacher of the same name of model; the first release had one way."""
    built_in = {"builtin": True, "model": "practice-large"}
    plain, wrong = (TeacherConfig(**built_in, errors=each) for each in ("independent", "systematic"))
    of = [plan_fingerprint(PlanConfig(name="p"), [each], "number") for each in (plain, wrong)]
    assert len(set(of)) == 2 and of[0] == plan_fingerprint(
        PlanConfig(name="p"), [TeacherConfig(**built_in)], "number"
    )


def test_the_paper_preset_is_the_same_plan_as_its_keys_written_out() -> None:
    preset = PlanConfig.model_validate({"name": "p", "preset": "paper", "rationales": 8})
    written = preset.model_copy(update={"preset": None})
    teacher = [TeacherConfig(base_url="http://a/v1", model="m")]
    assert plan_fingerprint(preset, teacher, "number") == plan_fingerprint(written, teacher, "number")
