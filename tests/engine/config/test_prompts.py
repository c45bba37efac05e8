from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from engine.config import PromptsConfig, load_config
from engine.errors import ConfigError
from engine.strategies.templates import fill

BASE = """
[teachers.a]
builtin = true
model = "practice-large"
[tasks.t]
source = "builtin:coin_flip"
answer = "yes_no"
[tasks.u]
source = "builtin:coin_flip"
answer = "yes_no"
[prompts.mine]
prompt = "Q: {question}"
[[plans]]
name = "first"
tasks = ["t"]
"""


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{question", "expected '}' before end of string"),
        ("{question} {gold}", "{gold} is not known here"),
        ("{question} {question}", "occurs more than once"),
        ("{question.__class__}", "expected a name in braces"),
        ("{question!r}", "expected a name in braces"),
        ("{}", "expected a name in braces"),
        ("{question:>9}", "expected a name in braces"),
    ],
)
def test_a_template_is_checked(template: str, reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        PromptsConfig(prompt=template)
    assert reason in str(caught.value)


def test_what_is_filled_in_is_no_template() -> None:
    assert fill("{{a}} {question}", question="{answer} {{b}}") == "{a} {answer} {{b}}"


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ('prompts = "other"', 'plans.second.prompts: unknown prompts "other" (known: mine)'),
        ('prompts = "mine"\nstrategy = "few-shot-cot"', "[prompts.mine] does not fit: prompt: {exemplars} is missing, for few-shot-cot"),
        ('strategy = "rationalize"', "set `needs` to the plan whose failures it is for"),
        ('strategy = "rationalize"\nneeds = "second"', 'plans.second.needs: expected a plan defined earlier (known: first), got "second"'),
        ('needs = "first"\nsplit = "test"', 'the plan "first" is of another split'),
        ('needs = "first"\ntasks = ["*"]', 'the plan "first" does not sample the task u'),
        ('exemplars = "a.jsonl"', "exemplars belong to the strategy few-shot-cot"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together(tmp_path: Path, plan: str, message: str) -> None:
    path = tmp_path / "config.toml"
    tasks = "" if "tasks" in plan else 'tasks = ["t"]\n'
    path.write_text(f'{BASE}[[plans]]\nname = "second"\n{tasks}{plan}\n')
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert message in caught.value.message


def test_what_fits(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    more = '[[plans]]\nname = "second"\ntasks = ["t"]\nstrategy = "rationalize"\nneeds = "first"\n'
    path.write_text(BASE + 'prompts = "mine"\n' + more)
    config = load_config(path)
    assert config.plans[1].needs == "first" and config.prompts["mine"].given() == {"prompt": "Q: {question}"}
