from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import load_config
from engine.errors import ConfigError

HEAD = """\
[teachers.a]
builtin = true
model = "m"
[tasks.t]
source = "builtin:coin_flip"
answer = "yes_no"
[[plans]]
name = "plain"
[[plans]]
name = "with"
logprobs = 5
"""
DISTRIBUTION = 'training = { objective = "distribution" }'


def read(folder: Path, student: str) -> object:
    path = folder / "config.toml"
    path.write_text(f'{HEAD}[[students]]\nname = "s"\n{student}\n')
    return load_config(path)


@pytest.mark.parametrize(
    ("student", "said"),
    [
        (f'plans = ["plain"]\n{DISTRIBUTION}', "no plan that this student reads asks for them: set logprobs = 5 in the"),
        (f'method = "fine-tune"\n{DISTRIBUTION}', "fine-tune learns no text of a teacher: it needs method ="),
        (f'method = "socratic"\n{DISTRIBUTION}', "socratic learns turns: it needs method ="),
        ("training = { tail = false }", "objective = tokens has none: it needs objective = distribution"),
        ("curation = { formats = { answer = 0.5 } }", "formats needs cot = 1.0"),
        ("curation = { formats = { cot = 1.0 }, mix_answers = 0.2 }", "formats takes the place of mix_answers"),
        ("curation = { formats = { cot = 1.0 }, shots = 2 }", "needs shots-cot or shots-answer in formats"),
        ('scope = "joint"\ncuration = { formats = { cot = 1.0, shots-cot = 1.0 } }', "examples are of the same task"),
        ('method = "fine-tune"\ncuration = { formats = { cot = 1.0 } }', "it needs method = fine-tune-cot or fine-tune-golden"),
        ("curation = { formats = { cot = 1.0, shorts-cot = 1.0 } }", 'did you mean "shots-cot"'),
    ],
)  # fmt: skip
def test_an_objective_or_a_mixture_that_cannot_hold_is_refused(
    tmp_path: Path, student: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, student)
    assert said in str(caught.value)


def test_a_student_learns_distributions_where_a_plan_has_some(tmp_path: Path) -> None:
    read(tmp_path, DISTRIBUTION)
