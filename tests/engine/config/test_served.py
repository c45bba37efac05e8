"""Students as teachers in the configuration: defaults, what is refused, and cycles."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import Config, load_config
from engine.config.named import teachers_of
from engine.config.served import reads, scope_for, student_of
from engine.errors import ConfigError

BASE = """
[tasks.t]
source = "builtin:coin_flip"
answer = "yes_no"
[tasks.u]
source = "builtin:coin_flip"
answer = "yes_no"
[teachers.api]
base_url = "http://127.0.0.1:1/v1"
model = "m"
[teachers.me]
student = "small"
[[plans]]
name = "first"
tasks = ["t"]
[[plans]]
name = "own"
tasks = ["t"]
teachers = ["me"]
strategy = "student"
[[students]]
name = "small"
tasks = ["t"]
[[students]]
name = "next"
tasks = ["t"]
plans = ["own"]
"""


def loaded(tmp_path: Path, text: str = BASE) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load_config(path)


def test_a_student_is_a_teacher_with_defaults_of_its_own(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    me = config.teachers["me"]
    assert (me.model, me.concurrency, me.local, me.base_url) == ("small", 16, True, "")
    first, own = config.plans
    assert teachers_of(first, config.teachers) == ["api"], "`*` is no student"
    assert teachers_of(own, config.teachers) == ["me"]
    assert (student_of(first, config), student_of(own, config)) == ("", "small")
    small, after = config.students
    assert [reads(small, plan, config) for plan in config.plans] == [True, False], (
        "`*` is no plan that asks a student"
    )
    assert [reads(after, plan, config) for plan in config.plans] == [False, True]
    assert (scope_for("small", "t", config), scope_for("small", "u", config)) == ("t", "")
    joint = loaded(
        tmp_path, BASE.replace('tasks = ["t"]\n[[students]]', 'tasks = ["t"]\nscope = "joint"\n[[students]]')
    )
    assert scope_for("small", "t", joint) == "joint"
    limited = loaded(tmp_path, BASE.replace('student = "small"', 'student = "small"\nconcurrency = 3'))
    assert limited.teachers["me"].concurrency == 3


OWN = 'teachers = ["me"]'


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('student = "small"', 'student = "smal"', 'teachers.me.student: unknown student "smal"; did you mean "small"?'),
        ('student = "small"', 'student = "small"\nbase_url = "http://x/v1"', "base_url has no effect on a student that the daemon"),
        ('student = "small"', 'student = "small"\nmodel = "m"', "the daemon serves the student under its own name; remove model"),
        ('student = "small"', 'student = "small"\ndialect = "anthropic-messages"', "a student that is served speaks openai-chat and openai-completions"),
        ('student = "small"', 'student = "small"\n[teachers.two]\nstudent = "small"', "teachers.two.student: teacher me is the same student"),
        (OWN, 'teachers = ["me", "api"]', "plans.own.teachers: a plan asks a student alone, so that"),
        (OWN, 'teachers = ["me"]\nfallback_teachers = ["api"]', "a plan asks a student alone"),
        (OWN, 'teachers = ["me"]\ntop_p = 0.9', "plans.own.top_p: the server of a student has no top_p"),
        ('tasks = ["t"]\n' + OWN, OWN, "plans.own.tasks: small has no student for the task u: add it to its tasks"),
        (
            'name = "small"\ntasks = ["t"]',
            'name = "small"\ntasks = ["t"]\nplans = ["own"]',
            "plans.own.teachers: a student cannot learn from itself: student small → plan own → teacher me → student small.",
        ),
        (
            'name = "small"\ntasks = ["t"]',
            'name = "small"\ntasks = ["t"]\nbase = "student:next"',
            "student small → student next → plan own → teacher me → student small",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_says_why(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in BASE
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, BASE.replace(old, new, 1))
    assert words in error.value.message, error.value.message
