"""`make paper` and `make paper-short`: their configurations, their data, and what they say where the data are absent."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from engine.config import load_config
from tests.daemon.site import ROOT, coterie

EXAMPLES = ROOT / "examples" / "paper"
TASKS = {
    "coin_flip": ("97 of 315", "150 test"),
    "last_letter_concatenation": ("95 of 315", "150 test"),
    "tracking_shuffled_objects": ("138 of 473", "225 test"),
    "multiarith": ("114 of 378", "180 test"),
}
"""The questions without a recorded completion, and the sizes of test in the paper."""

UNTRAINED = {  # what a check can open without the pretrained base
    "bases": '["builtin:nano"]',
    "methods": '["fine-tune", "fine-tune-cot"]',
    "compare": '[["fine-tune-cot", "fine-tune"]]',
}


def lay_out(folder: Path, data: Path, name: str) -> None:
    """The folder that `make` lays out, with a student that needs no file."""
    (folder / "data").symlink_to(data)
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    for key, value in UNTRAINED.items():
        text, found = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        assert found == 1, key
    (folder / "config.toml").write_text(text, encoding="utf-8")


def test_the_papers_experiment_is_checked(tmp_path: Path, recorded: Path) -> None:
    lay_out(tmp_path, recorded, "config.toml")
    done = coterie(tmp_path, "check")
    assert done.returncode == 0, done.stderr
    assert "replays 1,645 recorded completions" in done.stdout
    for task, (absent, test) in TASKS.items():
        assert re.search(rf"task {task}: .*{test}$", done.stdout, re.MULTILINE)
        assert f"  {absent} train questions of {task} have no recorded completion" in done.stdout


def test_its_short_form_is_checked(tmp_path: Path, recorded: Path) -> None:
    lay_out(tmp_path, recorded, "short.toml")
    done = coterie(tmp_path, "check")
    assert done.returncode == 0, done.stderr
    assert "task coin_flip: 350 train, 0 dev, 150 test" in done.stdout
    assert "104 of 350 train questions of coin_flip have no recorded completion" in done.stdout


def test_both_train_the_same_arms() -> None:
    whole, short = (load_config(EXAMPLES / name) for name in ("config.toml", "short.toml"))
    assert set(whole.tasks) == set(TASKS) and set(short.tasks) == {"coin_flip"}
    assert {student.name.removesuffix(f".s{student.training.seed}") for student in whole.students} == {
        student.name for student in short.students
    }
    assert len([student for student in whole.students if student.method != "base"]) == 2 * 3
    for student in short.students:
        assert student.method == "base" or student.training.epochs >= 3
    for student in whole.students:
        assert student.evaluation.patience and student.evaluation.every_epochs and student.evaluation.best


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(
    ("target", "missing"),
    [
        ("paper", "tasks/last_letter_concatenation.train.jsonl.gz"),
        ("paper-short", "teacher/coin_flip.jsonl.gz"),
    ],
)
def test_absent_data_are_one_message_before_anything_begins(
    tmp_path: Path, target: str, missing: str
) -> None:
    data, place = tmp_path / "the data", tmp_path / "place"
    place.mkdir()
    for name in ("tasks/coin_flip.train", "tasks/coin_flip.test", "teacher/coin_flip"):
        if (file := data / f"{name}.jsonl.gz").relative_to(data) != Path(missing):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    done = subprocess.run(
        ["make", "--no-print-directory", "-f", ROOT / "Makefile", target, f"DATA={data}"],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"DATA={data}: no {missing}. Expected a folder with tasks/<task>.train.jsonl.gz")
    assert not list(place.iterdir())
