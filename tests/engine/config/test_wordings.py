from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import load_config
from engine.config.plans import Candidate
from engine.config.wordings import expected_questions, rounds
from engine.errors import ConfigError

BASE = (
    '[teachers.one]\nbase_url = "http://x/v1"\nmodel = "m"\n'
    '[tasks.t]\nsource = "builtin:coin_flip"\nanswer = "yes_no"\ndev = 40\n'
    '[prompts.short]\ntrigger = "Briefly:"\n[prompts.long]\ntrigger = "At length:"\n[prompts.other]\nprompt = "{question} {what}"\n'
)
PLAN = '[[plans]]\nname = "cot"\nrationales = 4\nbudget_usd = 2.0\nstop_after_correct = 2\n'


def load(folder: Path, text: str):
    path = folder / "config.toml"
    path.write_text(text)
    return load_config(path)


def test_each_wording_becomes_a_plan_on_dev_with_one_sample_a_question_and_the_plan_stays(
    tmp_path: Path,
) -> None:
    plain = load(tmp_path, BASE + PLAN)
    config = load(tmp_path, BASE + PLAN + 'wordings = ["short", "paper", "long"]\n[[students]]\nname = "s"\n')
    own, *tried = config.plans
    assert own.model_copy(update={"wordings": []}) == plain.plans[0]
    assert [(plan.name, plan.prompts, plan.split, plan.most, plan.base, plan.want) for plan in tried] == [
        ("cot.given", None, "dev", 1, 1, 0),
        ("cot.short", "short", "dev", 1, 1, 0),
        ("cot.paper", "paper", "dev", 1, 1, 0),
        ("cot.long", "long", "dev", 1, 1, 0),
    ]
    assert {plan.budget_usd for plan in tried} == {2.0} and {plan.strategy for plan in tried} == {
        own.strategy
    }
    assert [plan.candidate for plan in tried] == [
        Candidate("cot", wording, place, 4)
        for place, wording in enumerate(("given", "short", "paper", "long"))
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (PLAN + 'wordings = ["shrt"]\n', 'did you mean "short"?'),
        (PLAN + 'wordings = ["other"]\n', "[prompts.other] does not fit"),
        (PLAN + 'wordings = ["short", "short"]\n', "short is listed twice"),
        (PLAN + 'wordings = ["given"]\n', "given is the plan's own wording"),
        (PLAN + 'prompts = "short"\nwordings = ["short"]\n', "short is the plan's own wording"),
        ('[[plans]]\nname = "p"\nsplit = "test"\nwordings = ["short"]\n', "for a plan that samples train"),
        (PLAN + '[[plans]]\nname = "p"\nneeds = "cot"\nwordings = ["short"]\n', "with `needs`"),
        (PLAN + 'wordings = ["short"]\n[[plans]]\nname = "cot.short"\n', "there is one of that name"),
        (
            PLAN.replace('"cot"', f'"{"x" * 62}"') + 'wordings = ["short"]\n',
            "too long for the name of a plan",
        ),
        (
            PLAN + 'wordings = ["short"]\n[teachers.two]\nbase_url = "http://y/v1"\nmodel = "m"\n',
            "a plan with wordings has one, and this one has one, two",
        ),
        (
            PLAN
            + 'wordings = ["short"]\n[tasks.u]\nsource = "builtin:coin_flip"\nanswer = "yes_no"\ndev = 3\n',
            "the task u has 3 dev questions",
        ),
        (
            PLAN
            + 'wordings = ["short"]\n[tasks.u]\nsource = "builtin:coin_flip"\nanswer = "yes_no"\nlabelled = false\n',
            "the task u has no gold answers",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, BASE + text)
    assert told in caught.value.message


@pytest.mark.parametrize("candidates", [1, 2, 3, 5, 8, 32])
@pytest.mark.parametrize("questions", [4, 7, 50, 1000])
def test_half_of_the_questions_choose_and_the_other_half_compares(questions: int, candidates: int) -> None:
    limits = rounds(questions, candidates)
    assert list(limits) == sorted(limits) and limits[-1] == questions and limits[0] >= 1
    assert len(limits) == 1 if candidates == 1 else limits[-2] == max(1, questions // 2)
    left, before, total = candidates, 0, 0
    for limit in limits:
        total, before, left = total + left * (limit - before), limit, -(-left // 2)
    mean = [
        expected_questions(questions, Candidate("p", "w", place, candidates + 1))
        for place in range(candidates + 1)
    ]
    assert mean[0] == questions and sum(mean[1:]) == pytest.approx(total)
