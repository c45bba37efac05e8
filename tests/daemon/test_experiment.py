"""`make reproduce` in short: a matrix sampled, trained and told of, by the commands a person types."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from engine.config import load_config
from engine.config.experiment import arm, cells
from tests.daemon.site import ROOT, coterie, query, run_to_end

REPRODUCE = {kind: ROOT / "docs" / "reproduce" / f"{kind}.toml" for kind in ("independent", "systematic")}
SHORT = {
    "train": "12",
    "dev": "4",
    "test": "6",
    "teachers": '["large"]',
    "methods": '["zero-shot-cot", "fine-tune", "fine-tune-cot"]',
    "rationales": "[2, 1]",
    "questions": '["all"]',
    "filters": '["correct"]',
    "seeds": "[0]",
    "training": "{ steps = 6, learning_rate = 3e-3, zero_stage = 0 }",
    "evaluation": "{ dev_evaluations = 2, max_new_tokens = 16 }\ncuration = { mix_answers = 0.2 }",
}


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """A configuration of `make reproduce` with few steps and few cells."""
    text = REPRODUCE["systematic"].read_text(encoding="utf-8")
    text = text[: text.index("bases = [")]
    for key, value in SHORT.items():
        text, found = re.subn(rf"(?m)^{key} = .*$", lambda _, k=key, v=value: f"{k} = {v}", text)
        assert found, key
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_matrix_is_run_to_its_report_and_told_of(short: Path) -> None:
    planned = coterie(short, "experiment")
    assert planned.returncode == 0 and "0 of 4 cells done; `coterie run` begins" in planned.stdout
    assert len(json.loads(coterie(short, "experiment", "--json").stdout)["cells"]) == 4
    code, output = run_to_end(short)
    assert code == 0, output
    task = next(iter(tomllib.loads((short / "config.toml").read_text())["tasks"]))

    told = json.loads(coterie(short, "experiment", "--json").stdout)
    assert (told["done"], len(told["cells"])) == (4, 4)
    assert told["left"] == {"samples": 0, "runs": 0, "failed": 0}
    assert all(cell["state"] == "done" and cell["accuracy"] is not None for cell in told["cells"])
    shown = coterie(short, "experiment").stdout
    assert "reproduce: 4 of 4 cells done; nothing left to do" in shown and shown.count(f"| {task}") == 4
    assert "experiment reproduce: 4 of 4 cells" in coterie(short, "status").stdout
    assert json.loads(coterie(short, "status", "--json").stdout)["experiment"] == "reproduce: 4 of 4 cells"

    assert coterie(short, "report", "-o", "out").returncode == 0
    text = (short / "out" / "report.md").read_text(encoding="utf-8")
    assert text.index("## Experiment") < text.index("## Accuracy on test, by run")
    assert "fine-tune-cot, D = 1" in text and f"- {task}: " in text
    assert re.search(r"Report by coterie \S+.*, Python 3", text) and '"experiment": {' in text
    figures = sorted((short / "out" / "figures").glob("*.svg"))
    assert "accuracy-by-rationales.svg" in [path.name for path in figures]
    for path in figures:
        assert ElementTree.parse(path).getroot().tag.endswith("}svg")
    page = (short / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == len(figures) and "<script" not in page and "<img" not in page

    rows = [json.loads(line) for line in (short / "runs" / "2" / "manifest.jsonl").read_text().splitlines()]
    assert any(row["rationale"] is None for row in rows) and any(row["rationale"] for row in rows)
    done = coterie(short, "export", "dataset", "--format", "think", "-o", "set.parquet", "--card")
    assert done.returncode == 0, done.stderr
    (digest,) = query(short, "SELECT digest FROM run WHERE student = 'reproduce.fine-tune-cot'")[0]
    assert f"`{digest}`" in (short / "README.md").read_text(encoding="utf-8")
    (short / "README.md").write_text("mine", encoding="utf-8")
    done = coterie(short, "export", "dataset", "-o", "set.jsonl", "--card")
    assert done.returncode == 2 and "it was not changed" in done.stderr


def test_without_an_experiment_there_is_nothing_to_tell(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    assert run_to_end(tmp_path)[0] == 0
    done = coterie(tmp_path, "experiment")
    assert done.returncode == 2 and "no [experiment] in its configuration" in done.stderr
    assert json.loads(coterie(tmp_path, "status", "--json").stdout)["experiment"] is None


def test_both_halves_of_reproduce_are_one_matrix_with_other_errors() -> None:
    halves = {kind: load_config(path) for kind, path in REPRODUCE.items()}
    one, other = (each.experiment for each in halves.values())
    assert one is not None and one == other
    for kind, config in halves.items():
        assert {teacher.errors for teacher in config.teachers.values()} == {kind}
    assert halves["independent"].tasks == halves["systematic"].tasks


def test_the_matrix_of_reproduce_asks_what_the_method_page_says() -> None:
    config = load_config(REPRODUCE["systematic"])
    experiment = config.experiment
    assert experiment is not None and len(experiment.seeds) >= 3
    arms = {arm(experiment, cell) for cell in cells(experiment)}
    parts = ("", ".small", ".d1", ".d4", ".n50", ".n150", ".micro", ".all", ".random", ".need", ".need5")
    assert {name for name in arms if name.startswith("fine-tune-cot")} == {
        f"fine-tune-cot{part}" for part in parts
    }
    assert arms - {f"fine-tune-cot{part}" for part in parts} == {
        *("fine-tune", "fine-tune.n50", "fine-tune.n150", "fine-tune.micro"),
        *("zero-shot-cot", "zero-shot-cot.small"),
    }
    assert {name for pair in experiment.compare for name in pair} <= arms
    rates: dict[str, set[float]] = {}
    for student in config.students:
        rates.setdefault(student.base, set()).add(student.training.learning_rate)
        assert student.training.precision == "fp32"  # what a machine is fast at must not decide between arms
    assert len(rates) == 2 and min(map(len, rates.values())) >= 2
    plans = {plan.name: plan for plan in config.plans}
    fixed, need = plans["reproduce.large.d8"], plans["reproduce.large.d8.need"]
    assert (fixed.want, need.stop_after_correct, need.stop_after_wrong, need.most) == (0, 4, 3, fixed.most)
    assert fixed.seed != need.seed  # or they would share their samples
