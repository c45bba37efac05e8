"""`generations`: the students, plans and teachers that a student is unrolled into."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import Config, load_config
from engine.config.named import teachers_of
from engine.config.served import reads
from engine.config.students import StudentConfig
from engine.errors import ConfigError

BASE = """
[tasks.t]
source = "builtin:coin_flip"
answer = "yes_no"
[teachers.api]
base_url = "http://127.0.0.1:1/v1"
model = "m"
[[plans]]
name = "first"
[[students]]
name = "warm"
[[students]]
name = "star"
base = "student:warm"
teachers = ["api"]
training = { seed = 7 }
evaluation = { max_new_tokens = 48 }
"""
UNROLLED = BASE + "generations = 3\ngeneration = { rationales = 2, hinted = true }\n"


def loaded(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load_config(path)


def test_each_generation_learns_from_what_the_one_before_writes(tmp_path: Path) -> None:
    config, plain = loaded(tmp_path, UNROLLED), loaded(tmp_path, BASE)
    assert [each.name for each in config.students] == ["warm", "star.g1", "star.g2", "star.g3"]
    names = ["first", "star.g2", "star.g2.hinted", "star.g3", "star.g3.hinted"]
    assert [each.name for each in config.plans] == names
    assert [(name, each.student) for name, each in config.teachers.items()] == [
        ("api", ""),
        ("star.g1", "star.g1"),
        ("star.g2", "star.g2"),
    ]
    read = {
        each.name: [plan.name for plan in config.plans if reads(each, plan, config)]
        for each in config.students
    }
    assert read == {"warm": names[:1], "star.g1": names[:1], "star.g2": names[1:3], "star.g3": names[3:]}
    asked = {plan.name: teachers_of(plan, config.teachers) for plan in config.plans}
    assert asked["star.g3"] == asked["star.g3.hinted"] == ["star.g2"]
    plan, hinted = config.plans[1:3]
    assert (plan.strategy, plan.rationales, plan.seed, plan.max_tokens) == ("student", 2, 7, 48)
    assert (hinted.strategy, hinted.needs, hinted.rationales) == ("student-hinted", "star.g2", 2)
    first, second = config.students[1:3]
    assert first == plain.students[1].model_copy(update={"name": "star.g1"}), (
        "the same student under another name"
    )
    assert (second.base, second.teachers, second.curation.hinted) == ("student:warm", ["*"], True)
    assert loaded(tmp_path, BASE + "generations = 1\n").plans == plain.plans


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("generation = { hinted = true }", "students.star: generation has no effect without generations"),
        ('method = "fine-tune"\ngenerations = 2', "students.star: generations learn from rationales: they need method ="),
        ('generations = 2\n[[students]]\nname = "star.g2"', "students.star.generations: would make a student star.g2, and there is one"),
        ('generations = 2\n[[plans]]\nname = "star.g2"', "would make a plan star.g2"),
        ('generations = 2\n[teachers."star.g1"]\nmodel = "m"\nbase_url = "http://x/v1"', "would make a teacher star.g1"),
        ('generations = 2\n[[students]]\nname = "s"\nplans = ["star.g3"]', 'unknown plan "star.g3"'),
        ('plans = ["star.g2"]\ngenerations = 2', "student star.g1 → plan star.g2 → teacher star.g1 → student star.g1"),
    ],
)  # fmt: skip
def test_what_cannot_be_says_why(tmp_path: Path, more: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, f"{BASE}{more}\n")
    assert words in error.value.message, error.value.message


def test_a_stronger_model_scores_what_each_generation_writes(tmp_path: Path) -> None:
    scorer = '[teachers.big]\nmodel = "b"\nbase_url = "http://x/v1"\ndialect = "openai-completions"\n'
    text = UNROLLED.replace("[[plans]]", f"{scorer}[[plans]]", 1).replace(
        "hinted = true", 'score_by = "big", logprobs = 5'
    )
    config = loaded(tmp_path, text)
    assert [each.name for each in config.plans] == [
        "first",
        "star.g2",
        "star.g2.scored",
        "star.g3",
        "star.g3.scored",
    ]
    scored, second = config.plans[2], config.students[2]
    assert (scored.strategy, scored.scores, scored.teachers, scored.logprobs) == (
        "score",
        "star.g2",
        ["big"],
        5,
    )
    assert scored.rationales == 2, "each sample of the other plan"
    assert second.plans == ["star.g2.scored"], "the same texts, once"
    for old, words in (
        (
            'score_by = "big"',
            'students.star.generation: score_by: unknown teacher "bib"; did you mean "big"?',
        ),
        (
            'dialect = "openai-completions"',
            "score_by: teacher big (openai-chat) cannot score a text that it is given: use one that speaks openai-completions",
        ),
    ):
        with pytest.raises(ConfigError) as error:
            loaded(tmp_path, text.replace(old, 'score_by = "bib"' if "score_by" in old else ""))
        assert words in error.value.message, error.value.message


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ('strategy = "score"', "plans.more: strategy score scores what another plan wrote: set `scores` to that plan"),
        ('scores = "first"', "plans.more: scores belongs to the strategy score (this is zero-shot-cot)"),
        ('strategy = "score"\nscores = "second"', 'plans.more.scores: expected a plan defined earlier (known: first), got "second"'),
        ('strategy = "score"\nscores = "first"', "plans.more.scores: teacher api (openai-chat) cannot score a text"),
        ('strategy = "score"\nscores = "first"\nrationales = 3', "every sample of the plan first is scored once: remove rationales and per_request"),
        ('strategy = "score"\nscores = "first"\nstop_after_correct = 1', "stop_after_correct has no effect"),
        ('strategy = "score"\nscores = "first"\nsplit = "test"', 'plans.more.scores: the plan "first" is of another split'),
    ],
)  # fmt: skip
def test_a_plan_that_scores_names_what_it_can_score(tmp_path: Path, plan: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, f'{BASE}[[plans]]\nname = "more"\n{plan}\n')
    assert words in error.value.message, error.value.message


def test_others_may_name_what_they_are_unrolled_into(tmp_path: Path) -> None:
    others = """
[[plans]]
name = "more"
teachers = ["star.g2"]
strategy = "student"
[[students]]
name = "after"
base = "student:star.g3"
plans = ["star.g2", "more"]
[[derived]]
name = "both"
make = "ensemble"
of = ["star.g2", "star.g3"]
combine = "vote"
"""
    config = loaded(tmp_path, UNROLLED + others)
    after: StudentConfig = config.students[-1]
    assert after.base == "student:star.g3" and config.derived[0].of == ["star.g2", "star.g3"]
