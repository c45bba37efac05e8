"""Errors found after the file was expanded (panels, generations, experiments) name the line that you wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import load_config
from engine.errors import ConfigError

HEAD = """
[tasks.t]
source = "builtin:coin_flip"
answer = "yes_no"
[tasks.u]
source = "builtin:coin_flip"
answer = "yes_no"
[teachers.a]
base_url = "http://127.0.0.1:1/v1"
model = "a"
[teachers.b]
base_url = "http://127.0.0.1:1/v1"
model = "b"
[teachers.me]
student = "small"
"""
SMALL = """
[[students]]
name = "small"
tasks = ["t"]
plans = ["cot"]
"""
COT = """
[[plans]]
name = "cot"
tasks = ["t"]
teachers = ["a"]
"""
PANEL = """
[[plans]]
name = "talk"
strategy = "brainstorm"
tasks = ["t"]
teachers = ["a", "b"]
"""
GENERATIONS = """
[[students]]
name = "star"
generations = 3
plans = ["cot"]
tasks = ["t"]
"""
ASKS_TWO = """
[[plans]]
name = "own"
strategy = "student"
tasks = ["t"]
teachers = ["me", "a"]  # HERE
"""
OTHER_TASK = """
[[plans]]
name = "own"
strategy = "student"
tasks = ["u"]  # HERE
teachers = ["me"]
"""
ASKED_BY_A_PANEL = """
[[plans]]
name = "own"
strategy = "brainstorm"
top_p = 0.9  # HERE
tasks = ["t"]
teachers = ["a", "me"]
"""
NO_BASE = """
[[students]]
name = "late"
base = "student:nobody"  # HERE
tasks = ["t"]
plans = ["cot"]
"""
EXPERIMENT = """
[experiment]
name = "e"
tasks = ["t"]
teachers = ["a"]
"""


@pytest.mark.parametrize("wrong", [ASKS_TWO, OTHER_TASK, ASKED_BY_A_PANEL, NO_BASE])
@pytest.mark.parametrize("before", ["", PANEL, GENERATIONS, PANEL + GENERATIONS, EXPERIMENT])
def test_an_error_found_after_expansion_names_its_line(tmp_path: Path, wrong: str, before: str) -> None:
    path = tmp_path / "config.toml"
    text = HEAD + before + COT + SMALL + wrong
    path.write_text(text)
    line = next(number for number, each in enumerate(text.splitlines(), 1) if "# HERE" in each)
    key = text.splitlines()[line - 1].partition(" =")[0]
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    said = str(caught.value).splitlines()
    item = "students.late" if wrong is NO_BASE else "plans.own"
    assert [each.partition(": ")[0] for each in said] == [f"{path}:{line}"], said
    assert said[0].startswith(f"{path}:{line}: {item}.{key}: ")


def test_an_error_of_what_was_made_names_the_setting_that_made_it(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    text = HEAD + '[teachers.same]\nstudent = "star.g1"\n' + COT + SMALL + GENERATIONS
    path.write_text(text)
    line = text.splitlines().index("generations = 3") + 1
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(
        f"{path}:{line}: students.star.generations: its teacher star.g1: teacher same is the same student"
    )
