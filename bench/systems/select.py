"""Selection of teachers: two planted experts, each right about half of the questions, and a student that reads both.

Questions ask for the colour of a thing. One teacher knows the animals and is wrong about all tools, the other the reverse, and nothing was
filtered. The policy has to find out whom to believe about what, from the student alone: its share of questions for which the expert's row is
the likelier one, and the student's accuracy beside that of rows kept at random. With `broken`, the sign of the reward is flipped.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

from bench.systems.gates import Gate
from engine.config import EvaluationConfig, TrainingConfig
from engine.forms import FIRST
from engine.methods import TrainRow
from engine.students.spec import EvalRow, Spec, write_rows

SEEDS = (0, 1, 2)
EXPERT, GAIN, FLIPPED = 0.90, 0.03, 0.5
COLOURS = ("red", "blue", "green", "brown")
ANIMALS = "cat dog fox hen owl rat pig cow bee ant elk emu ape bat jay yak".split()
TOOLS = "saw axe pen cup pot pan jug lid fan key bow rod cog nut bin mop".split()
ASKED = ("{}: which colour?", "which colour: {}?")
TRAINING = MappingProxyType({"steps": 1600, "batch_rows": 16, "learning_rate": 4e-3, "zero_stage": 0})


def lessons() -> tuple[list[TrainRow], list[EvalRow]]:
    """Rows of both teachers for each question, and the questions again: whom did the student believe?"""
    rows: list[TrainRow] = []
    asked: list[EvalRow] = []
    things = [("animal", each) for each in ANIMALS] + [("tool", each) for each in TOOLS]
    for number, (kind, thing) in enumerate(things):
        right, wrong = (COLOURS[(number * 7 + shift) % len(COLOURS)] for shift in (0, 1 + number % 3))
        for place, text in enumerate(ASKED):
            for teacher, knows in (("keeper", "animal"), ("smith", "tool")):
                colour = right if kind == knows else wrong
                rows.append(
                    TrainRow(
                        sample_id=len(rows) + 1,
                        question_id=len(ASKED) * number + place,
                        question=text.format(f"{kind} {thing}"),
                        rationale=None,
                        answer=colour,
                        teacher=teacher,
                        task="colours",
                        gold="" if colour == right else right,
                    )
                )
            asked.append(
                EvalRow(
                    question_id=10_000 + len(asked),
                    task="colours",
                    split="test",
                    question=text.format(f"{kind} {thing}"),
                    gold=right,
                    answer_format="text",
                )
            )
    return rows, asked


def trained(directory: Path, seed: int, select: str, *, flipped: bool = False) -> tuple[float, float]:
    """The student's accuracy, and the share of questions for which the expert's row is the likelier one."""
    from engine.students import selection, train

    rows, asked = lessons()
    directory.mkdir(parents=True)
    digest = write_rows(directory / "manifest.jsonl", rows)
    write_rows(directory / "questions.jsonl", asked)
    spec = Spec(
        run_id=1,
        student="selected",
        scope="colours",
        trigger="complete",
        method="fine-tune",
        base="builtin:nano",
        form=FIRST,
        training=TrainingConfig(**TRAINING, seed=seed, select=select),
        evaluation=EvaluationConfig(dev_evaluations=0, max_new_tokens=24),
        manifest_digest=digest,
    )
    (directory / "spec.json").write_text(spec.to_json(), encoding="utf-8")
    last: list[Any] = []
    made = selection.select

    def kept(*args: Any, **named: Any) -> Any:
        last.append(made(*args, **named))
        return last[-1]

    def other_way(before: Any, after: Any) -> Any:
        return after - before

    with patch("engine.students.session.select", kept):
        if flipped:
            with patch.object(selection.Selection, "reward", staticmethod(other_way)):
                code = train.main([str(directory)])
        else:
            code = train.main([str(directory)])
    if code:
        raise SystemExit("the run failed")
    [found] = json.loads((directory / "evaluation.json").read_bytes())["results"]
    chosen = last[-1]
    keep = chosen.policy.keep(chosen.arms, chosen.features)
    right = [not row.gold for row in rows]
    by_question: dict[int, list[tuple[float, bool]]] = {}
    for row, value, ok in zip(rows, keep.tolist(), right, strict=True):
        by_question.setdefault(row.question_id, []).append((value, ok))
    picked = [max(pair)[1] if pair[0][0] != pair[1][0] else 0.5 for pair in by_question.values()]
    return found["accuracy"], sum(picked) / len(picked)


def gates(broken: bool, *, seeds: Sequence[int] = SEEDS) -> Iterator[Gate]:
    """The gates over all seeds."""
    uniform, own, picked = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            uniform[seed], _ = trained(Path(folder) / f"uniform {seed}", seed, "uniform")
            own[seed], picked[seed] = trained(Path(folder) / f"own {seed}", seed, "reinforce", flipped=broken)
    yield Gate(
        name="questions for which the expert's row is the likelier one",
        figure=_said(picked),
        threshold=f">= {EXPERT:.2f} on each seed; with the reward flipped at most {FLIPPED:.2f}",
        passed=min(picked.values()) >= EXPERT,
        seeds=seeds,
    )
    gains = {seed: own[seed] - uniform[seed] for seed in seeds}
    yield Gate(
        name="accuracy",
        figure=f"{_said(own)}; rows kept at random {_said(uniform)}",
        threshold=f"at least {GAIN:.2f} more on each seed",
        passed=min(gains.values()) >= GAIN,
        seeds=seeds,
    )


def _said(values: dict[int, float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values.values())
