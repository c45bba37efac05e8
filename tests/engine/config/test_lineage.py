from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import load_config
from engine.config.ancestors import chain_of
from engine.config.lineage import in_order
from engine.errors import ConfigError

HEAD = """\
[teachers.a]
builtin = true
model = "m"
[tasks.t]
source = "builtin:coin_flip"
answer = "yes_no"
[tasks.u]
source = "builtin:coin_flip"
answer = "yes_no"
[[plans]]
name = "p"
"""


def read(folder: Path, *students: str, more: str = "") -> object:
    path = folder / "config.toml"
    path.write_text(HEAD + "".join(f"[[students]]\n{student}\n" for student in students) + more)
    return load_config(path)


@pytest.mark.parametrize(
    ("students", "said"),
    [
        (
            ('name = "a"\nbase = "student:warn"', 'name = "warm"'),
            'unknown student "warn"; did you mean "warm"?',
        ),
        (
            ('name = "a"\nbase = "student:x"', 'name = "b"', 'name = "c"'),
            'unknown student "x"; expected one of: a, b, c',
        ),
        (('name = "a"\nbase = "student:x"',), 'unknown student "x"; there is no other student'),
        (('name = "a"\nbase = "student:a"',), "students cannot come from themselves: a → a"),
        (
            (
                'name = "a"\nbase = "student:c"',
                'name = "b"\nbase = "student:a"',
                'name = "c"\nbase = "student:b"',
            ),
            "students cannot come from themselves: a → c → b → a",
        ),
        (
            ('name = "a"\nbase = "student:"',),
            'expected student:NAME, the name of another student, got "student:"',
        ),
        (
            ('name = "a"\nbase = "student:b"\nscope = "joint"', 'name = "b"'),
            'this student has scope = "joint", and b has one student for each task: give b the scope "joint", or',
        ),
        (
            ('name = "a"\nbase = "student:b"', 'name = "b"\ntasks = ["t"]'),
            "b has no student for the task u: add it to its tasks",
        ),
        (
            ('name = "a"\nbase = "student:b"\nmethod = "socratic"', 'name = "b"\nbase = "builtin:nano-t5"'),
            "a.base: socratic writes turns after one another, which decoders can: builtin:nano-t5 is an encoder-decoder",
        ),
        (
            ('name = "a"\nbase = "student:b"', 'name = "b"\nmethod = "base"\nbase = "some/model"'),
            'the student b is not trained (method = "base")',
        ),
        (
            (
                'name = "a"\nbase = "student:b"',
                'name = "b"\nbase = "some/model"\ntraining = { adapter = "prefix" }',
            ),
            "the student b is a prefix on its base, not a model of its own: name its base",
        ),
        (
            ('name = "a"\ntraining = { adapter = "prefix" }',),
            "builtin:nano is untrained, so there is nothing to steer: name a pretrained base",
        ),
        (
            ('name = "a"\nbase = "some/model"\nstart_from = "previous"\ntraining = { adapter = "prefix" }',),
            "makes no model of its own that the next run could start from",
        ),
    ],
)
def test_a_student_that_cannot_start_from_another_one(
    tmp_path: Path, students: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, *students)
    assert said in str(refused.value) and "base" in str(refused.value)


def test_students_of_an_experiment_are_known_and_checked_too(tmp_path: Path) -> None:
    experiment = '[experiment]\nname = "x"\nmethods = ["fine-tune"]\ntasks = ["t"]\nteachers = ["a"]\n'
    config = read(tmp_path, 'name = "a"\nbase = "student:x.fine-tune"\ntasks = ["t"]', more=experiment)
    own, source = chain_of(config.students[0], config)  # type: ignore[attr-defined]
    assert (own.name, source.name, source.base) == ("a", "x.fine-tune", "builtin:nano")
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, 'name = "a"', more=experiment + 'bases = ["student:nobody"]\n')
    assert "experiment.bases: unknown student" in str(refused.value)


def test_sources_come_first_and_others_stay_where_they_are() -> None:
    sources = {"a": ["c"], "b": [], "c": ["d"], "d": ["elsewhere"]}
    assert in_order(["a", "b", "c", "d"], sources) == ["d", "c", "a", "b"]
    assert in_order(["a", "b"], {}) == ["a", "b"]
