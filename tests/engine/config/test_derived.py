from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import load_config
from engine.config.ancestors import chain_of, derived_members, derived_origins, scopes_by_student
from engine.config.derivation import members_of, shared_scopes
from engine.errors import ConfigError
from tests.engine.config.test_lineage import HEAD

WARM = '[[students]]\nname = "warm"\nscope = "joint"\n'
SEEDS = "".join(
    f'[[students]]\nname = "s{seed}"\nbase = "student:warm"\ntraining = {{ seed = {seed} }}\n'
    for seed in (1, 2)
)


def read(folder: Path, text: str) -> object:
    path = folder / "config.toml"
    path.write_text(HEAD + WARM + SEEDS + text)
    return load_config(path)


def test_names_and_scopes_of_what_something_is_made_from(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        '[[derived]]\nname = "mean"\nmake = "merge"\nof = ["s*"]\n'
        '[[derived]]\nname = "all"\nmake = "ensemble"\nof = ["mean", "s2", "warm"]\n'
        '[[students]]\nname = "more"\nbase = "student:mean"\ntasks = ["u"]\n',
    )
    assert derived_members(config) == {"mean": ["s1", "s2"], "all": ["mean", "s2", "warm"]}  # type: ignore[arg-type]
    scopes = scopes_by_student(config)  # type: ignore[arg-type]
    assert scopes["mean"] == scopes["all"] == {"t": ("t",), "u": ("u",)}, "a joint one stands for each task"
    assert [each.name for each in chain_of(config.students[3], config)] == ["more", "s1", "warm"]  # type: ignore[attr-defined]
    assert shared_scopes([{"joint": ("t", "u")}, {"joint": ("u",)}]) == {"joint": ("t", "u")}
    assert members_of(["b", "a*"], ["a1", "b", "a2"]) == ["b", "a1", "a2"]


def test_a_merge_joins_the_tasks_of_one_student_and_those_of_students_without_a_common_one(
    tmp_path: Path,
) -> None:
    config = read(
        tmp_path,
        '[[derived]]\nname = "one"\nmake = "merge"\nof = ["s1"]\n'
        '[[derived]]\nname = "half"\nmake = "prune"\nof = ["one"]\n'
        '[[students]]\nname = "of-t"\nbase = "student:warm"\ntasks = ["t"]\n'
        '[[students]]\nname = "of-u"\nbase = "student:warm"\ntasks = ["u"]\n'
        '[[derived]]\nname = "both"\nmake = "merge"\nof = ["of-*"]\nmerge = { rule = "regmean" }\n',
    )
    found = derived_origins(config)  # type: ignore[arg-type]
    assert {name: list(each) for name, each in found.items()} == {
        "one": ["joint"],
        "half": ["joint"],
        "both": ["joint"],
    }
    assert found["one"]["joint"].sources == (("s1", "t"), ("s1", "u"))
    assert found["half"]["joint"].sources == (("one", "joint"),)
    assert found["both"]["joint"].sources == (("of-t", "t"), ("of-u", "u"))
    assert all(each["joint"].tasks == ("t", "u") for each in found.values())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('make = "ensembl"\nof = ["s1"]', "derived"),
        (
            'make = "ensemble"\nof = ["s3"]',
            'derived.x.of: unknown student "s3"; expected one of: warm, s1, s2',
        ),
        (
            'make = "ensemble"\nof = ["z*"]',
            'derived.x.of: no student is called "z*"; expected one of: warm, s1, s2',
        ),
        ('make = "ensemble"\nof = ["x"]', "derived.x.of: students cannot come from themselves: x → x"),
        ('make = "merge"\nof = ["warm"]', "derived.x.of: merge needs at least 2 students"),
        ('make = "ensemble"\nof = ["s1"]\ncombine = "mean"', "derived.x.combine"),
        (
            'make = "ensemble"\nof = ["s1", "p"]\n[[students]]\nname = "p"\nbase = "student:warm"\ntraining = { adapter = "prefix" }',
            "derived.x.of: p is a prefix on its base, not a model of its own",
        ),
        (
            'make = "ensemble"\nof = ["s1"]\nevaluation = { patience = 2 }',
            "evaluation.patience is about a training, and nothing is trained: remove it",
        ),
        (
            'make = "ensemble"\nof = ["s1"]\n[[derived]]\nname = "y"\nmake = "merge"\nof = ["x", "s1"]',
            "derived.y.of: x consists of several models: name those",
        ),
        (
            'make = "ensemble"\nof = ["s1"]\n[[students]]\nname = "y"\nbase = "student:x"',
            "students.y.base: x consists of several models: name those",
        ),
        (
            'make = "ensemble"\ncombine = "vote"\nof = ["s1", "s2"]\n[[students]]\nname = "y"\nbase = "student:x"',
            "students.y.base: x is counted from stored answers: it has no student",
        ),
        (
            'make = "merge"\nof = ["s1", "y"]\n[[students]]\nname = "y"\n',
            "derived.x.of: s1 and y begin with other weights, since builtin:nano is made anew for each run",
        ),
        (
            'make = "ensemble"\nof = ["s1", "y"]\n[[students]]\nname = "y"\nbase = "builtin:micro"\n',
            "s1 and y come from builtin:nano and builtin:micro, which do not have the same tokenizer",
        ),
        (
            'make = "ensemble"\nof = ["s1", "y"]\n[[students]]\nname = "y"\nbase = "student:warm"\nmethod = "fine-tune"\n',
            "s1 and y write other texts: method = 'fine-tune-cot' and 'fine-tune'",
        ),
        (
            'make = "ensemble"\nof = ["y", "z"]\n[[students]]\nname = "y"\ntasks = ["t"]\n[[students]]\nname = "z"\ntasks = ["u"]',
            "there is no task on which all of them have a student: y, z",
        ),
        (
            'make = "merge"\nof = ["s1", "y"]\n[[students]]\nname = "y"\nbase = "student:x"',
            "students cannot come from themselves: ",
        ),
        (
            'make = "merge"\nof = ["y"]\n[[students]]\nname = "y"\n',
            "derived.x.of: y and y begin with other weights, since builtin:nano is made anew for each run",
        ),
        (
            (
                'make = "prune"\nof = ["y"]\n[[students]]\nname = "y"\nbase = "builtin:nano-t5"\n[[students]]\nname = "z"\nbase = "student:x"\n'
                '[[students]]\nname = "w"\nbase = "student:z"\nmethod = "socratic"\n'
            ),
            "students.w.base: socratic writes turns after one another, which decoders can: builtin:nano-t5 is an encoder-decoder",
        ),
        (
            'make = "prune"\nof = ["s1", "s2"]\n',
            "derived.x.of: prune is made from 1 student, and here are 2: s1, s2",
        ),
        (
            'make = "prompt"\nof = ["s1"]\n[[students]]\nname = "y"\nbase = "student:x"',
            "students.y.base: x has the weights of the student that it was made from: name that",
        ),
        ('make = "prune"\nof = ["s1"]\nprune = { share = 2.0 }', "derived.x.prune.share"),
        (
            'make = "prune"\nof = ["y"]\n[[students]]\nname = "y"\nbase = "student:warm"\ntraining = { adapter = "prefix" }',
            "derived.x.of: y is a prefix on its base, not a model of its own: name its base",
        ),
    ],
)
def test_what_cannot_be_made_is_refused_when_the_file_is_read(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, f'[[derived]]\nname = "x"\n{text}\n')
    assert said in str(refused.value)


def test_the_campaign_is_a_graph_that_goes_on_from_students() -> None:
    config = load_config(Path(__file__).parents[3] / "docs" / "campaign.toml")
    scopes = scopes_by_student(config)
    both = ["arithmetic", "coin_flip"]
    assert list(scopes["warm"]) == list(scopes["generalist"]) == ["joint"]
    assert list(scopes["pruned"]) == list(scopes["recovered"]) == list(scopes["together"]) == both
    recovered = next(each for each in config.students if each.name == "recovered")
    assert [each.name for each in chain_of(recovered, config)] == ["recovered", "specialist", "warm"]
    assert [plan.name for plan in config.plans if plan.panel] == ["panel.large", "panel.small", "panel.other"]


def test_a_name_is_used_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, '[[derived]]\nname = "s1"\nmake = "merge"\nof = ["s2", "warm"]\n')
    assert 'derived.s1.name: the name "s1" is used twice' in str(refused.value)
