from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import load_config
from engine.errors import ConfigError

TEACHERS = "".join(
    f'[teachers.{name}]\nbase_url = "http://x/v1"\nmodel = "{name}"\n'
    for name in ("small-a", "small-b", "other")
)
TASK = '[tasks.t]\nsource = "t.jsonl"\nanswer = "number"\n'
PANEL = '[[plans]]\nname = "talk"\nstrategy = "brainstorm"\nteachers = ["small-a", "small-b"]\n'


def load(folder: Path, text: str):
    path = folder / "config.toml"
    path.write_text(text)
    return load_config(path)


def test_a_panel_becomes_a_plan_for_each_teacher_and_students_read_all_of_them(tmp_path: Path) -> None:
    students = '[[students]]\nname = "s"\nplans = ["talk", "alone"]\n[[students]]\nname = "one"\nplans = ["talk.small-b"]\n'
    alone = '[[plans]]\nname = "alone"\n'
    config = load(tmp_path, TEACHERS + TASK + PANEL + "rounds = 2\nrationales = 3\n" + alone + students)
    assert [(plan.name, plan.teachers, plan.panel) for plan in config.plans] == [
        ("talk.small-a", ["small-a"], ("small-a", "small-b")),
        ("talk.small-b", ["small-b"], ("small-a", "small-b")),
        ("alone", ["*"], ()),
    ]
    seats = [plan.seat for plan in config.plans]
    assert [(seat.member, seat.members, seat.rounds) if seat else None for seat in seats] == [
        (0, 2, 2),
        (1, 2, 2),
        None,
    ]
    assert [student.plans for student in config.students] == [
        ["talk.small-a", "talk.small-b", "alone"],
        ["talk.small-b"],
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (PANEL.replace(', "small-b"', ""), "needs two teachers or more that hear each other (here: small-a)"),
        (PANEL + 'fallback_teachers = ["other"]\n', "fallback_teachers does not go with strategy brainstorm"),
        (PANEL + "per_request = 2\n", "per_request does not go with strategy brainstorm"),
        (PANEL + "stop_after_correct = 1\n", "could leave one teacher without a question"),
        (PANEL + "correct_per_task = 5\n", "could leave one teacher without a question"),
        (PANEL + "rationales = 2\nstop_after_wrong = 1\n", "could leave one teacher without a question"),
        (PANEL + "max_rationales = 5\n", "could leave one teacher without a question"),
        (PANEL + "logprobs = 2\n", "log-probabilities are those of the first turn"),
        (
            PANEL + '[[plans]]\nname = "later"\nneeds = "talk"\n',
            "is a panel, whose teachers are plans of their own",
        ),
        (
            '[[plans]]\nname = "first"\n' + PANEL + 'needs = "first"\n',
            "needs does not go with strategy brainstorm",
        ),
        (PANEL + '[[plans]]\nname = "talk.small-a"\n', "is the name of a member's plan"),
        ('[[plans]]\nname = "p"\nrounds = 2\n', "rounds belongs to the strategy brainstorm"),
        (PANEL.replace('"talk"', f'"{"x" * 60}"'), "is too long for the name of a member's plan"),
        (PANEL + "[teachers.small-b.unused]\n", "unused"),
    ],
)
def test_what_does_not_go_with_a_panel_is_refused_with_the_reason(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, TEACHERS + TASK + text)
    assert told in caught.value.message


def test_batches_would_make_every_turn_wait(tmp_path: Path) -> None:
    text = TEACHERS.replace('model = "small-b"\n', 'model = "small-b"\ndialect = "openai-batch"\n')
    with pytest.raises(ConfigError, match="small-b is asked by batches"):
        load(tmp_path, text + TASK + PANEL)
