"""Generations: two of STaR with a nano student on coin flips, by a real daemon, and whose weights each sample is from.

First the daemon trains and tests `star.g1`. Then it serves it: the plan `star.g2` asks it for rationales, and with hints where it fails, `star.g2`
learns from them, and one more plan asks the test questions greedily. With `broken`, the weights are changed in between, so the samples are
those of another student than the one that was tested.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.systems.gates import Gate
from state.database import open_reader

TEST = 150
SEED = 0
DRAWN = 40
"""Sampled texts that are drawn again."""
CONFIG = """
[tasks.coin]
source = "builtin:coin_flip"
answer = "yes_no"
train = {train}
dev = 20
test = {test}

[teachers.practice]
builtin = true
model = "practice-large"
latency_ms = 2

[[plans]]
name = "first"
teachers = ["practice"]
rationales = 2
{greedy}
[[students]]
name = "star"
generations = {generations}
generation = {{ rationales = 3, hinted = true }}
training = {{ steps = {steps}, learning_rate = 4e-3, batch_rows = 16, seed = {seed} }}
evaluation = {{ max_new_tokens = 64, dev_evaluations = 1 }}
"""
GREEDY = """
[[plans]]
name = "greedy"
teachers = ["star.g1"]
strategy = "student"
split = "test"
temperature = 0.0
max_tokens = 64
"""


def gates(broken: bool, *, train: int = 100, test: int = TEST, steps: int = 600) -> Iterator[Gate]:
    """The gates of generations, in order.

    Args:
        broken: whether the weights are changed between evaluation and serving.
        train: training questions.
        test: test questions.
        steps: optimizer steps of each generation.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = {"train": train, "test": test, "steps": steps, "seed": SEED}
        (folder / "config.toml").write_text(CONFIG.format(**sizes, generations=1, greedy=""))
        _run(folder)
        [(first,)] = _rows(folder, "SELECT id FROM run WHERE student = 'star.g1'")
        tested = folder / "tested"
        shutil.copytree(folder / "runs" / str(first), tested)
        if broken:
            _change(folder / "runs" / str(first) / "student" / "model.safetensors")
        (folder / "config.toml").write_text(CONFIG.format(**sizes, generations=2, greedy=GREEDY))
        _run(folder)
        yield _accuracies(folder)
        yield _greedy(folder, first, test)
        yield _drawn(folder, tested)
        yield _asked(folder, first)
        yield _learned(folder)


def _run(folder: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-m", "daemon", "run", "--no-tui", "--until-idle"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the daemon failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _rows(folder: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(open_reader(folder / "state.db")) as connection:
        return connection.execute(sql, values).fetchall()


def _change(weights: Path) -> None:
    """Other weights of the same shapes: each tensor a tenth larger, and a little noise."""
    import torch
    from safetensors.torch import load_file, save_file

    chance = torch.Generator().manual_seed(1)
    tensors = load_file(weights)
    for key, tensor in tensors.items():
        noise = torch.randn(tensor.shape, generator=chance) * 0.1 * tensor.std()
        tensors[key] = (tensor * 1.1 + noise).contiguous()
    save_file(tensors, weights, metadata={"format": "pt"})


def _accuracies(folder: Path) -> Gate:
    found = _rows(
        folder,
        "SELECT r.student, e.correct, e.n FROM evaluation e JOIN run r ON r.id = e.run_id WHERE e.split = 'test' ORDER BY r.id",
    )
    shown = ", ".join(f"{student} {100 * correct / n:.1f} % of {n}" for student, correct, n in found)
    return Gate(
        name="accuracy on test",
        figure=shown,
        threshold="two generations, whatever they reach",
        passed=len(found) == 2,
        seeds=(SEED,),
    )


def _greedy(folder: Path, run: int, test: int) -> Gate:
    """Whether the served student writes what it wrote in its evaluation."""
    told = dict(
        _rows(folder, "SELECT question_id, text FROM prediction WHERE run_id = ? AND split = 'test'", run)
    )
    served = {question: text for question, _, text in _texts(folder, "greedy")}
    same = sum(served.get(question) == text for question, text in told.items())
    return Gate(
        name="the served greedy texts are those of the evaluation",
        figure=f"{same} of {len(told)}",
        threshold=f"{test} of {test}",
        passed=same == len(told) == test,
        seeds=(SEED,),
    )


def _texts(folder: Path, plan: str) -> Iterator[tuple[int, int, str]]:
    """Question, replicate and text of each sample of a plan, as received."""
    rows = _rows(
        folder,
        "SELECT s.question_id, s.replicate, c.raw FROM sample s JOIN plan p ON p.id = s.plan_id JOIN attempt a ON a.sample_id = s.id"
        " JOIN completion c ON c.attempt_id = a.id WHERE p.name = ? AND a.outcome = 'ok' ORDER BY s.id",
        plan,
    )
    for question, replicate, raw in rows:
        yield question, replicate, json.loads(zlib.decompress(raw))["choices"][0]["message"]["content"]


def _drawn(folder: Path, tested: Path) -> Gate:
    """Whether samples of the plan are drawn again, from their seeds, by the weights that were tested."""
    asked = dict(_rows(folder, "SELECT id, text FROM question"))
    [(settings,)] = _rows(folder, "SELECT settings FROM plan WHERE name = 'star.g2'")
    plan = json.loads(settings)
    stored = list(_texts(folder, "star.g2"))
    stored = stored[:: max(1, len(stored) // DRAWN)][:DRAWN]
    again = asyncio.run(
        _draw(tested, plan, [(asked[question], replicate) for question, replicate, _ in stored])
    )
    same = sum(text == one for (_, _, text), one in zip(stored, again, strict=True))
    return Gate(
        name="sampled texts drawn again by the tested weights",
        figure=f"{same} of {len(stored)}",
        threshold="all",
        passed=bool(stored) and same == len(stored),
        seeds=(SEED,),
    )


async def _draw(directory: Path, plan: dict[str, Any], wanted: list[tuple[str, int]]) -> list[str]:
    import torch

    from engine.students.evaluate import judge_with
    from engine.students.exported_student import load_student
    from engine.students.opened_student import open_student
    from engine.students.ranks import Ranks, StopFlag
    from engine.students.run import Run, read_spec
    from engine.students.served_student import ServedStudent

    torch.set_num_threads(1)
    spec = read_spec(directory)
    ranks = Ranks(rank=0, local_rank=0, world=1)
    run = Run(
        directory=directory, spec=spec, ranks=ranks, stop=StopFlag(), progress=None, make_judge=judge_with
    )
    opened = open_student(run)
    model = load_student(directory, opened.device)
    student = ServedStudent(opened, model, run.method, spec.guidance, most=plan["max_tokens"], batch_size=16)
    found = [
        await student.answer(question, plan["max_tokens"], plan["temperature"], plan["seed"] + replicate)
        for question, replicate in wanted
    ]
    await student.close()
    return [each.text for each in found]


def _asked(folder: Path, run: int) -> Gate:
    """Whether the plans of the second generation name the run that they ask."""
    named = _rows(
        folder, "SELECT name, settings ->> '$.served' FROM plan WHERE name LIKE 'star.g2%' AND active = 1"
    )
    return Gate(
        name="the run that each plan of the second generation asks",
        figure=", ".join(f"{name}: run {asked}" for name, asked in named),
        threshold=f"run {run}, of two plans",
        passed=[asked for _, asked in named] == [run, run],
    )


def _learned(folder: Path) -> Gate:
    """Whether the second generation learned from correct samples of the first one, and of nobody else."""
    found = _rows(
        folder,
        "SELECT p.name, count(*), sum(s.verdict = 1) FROM run r JOIN run_sample l ON l.run_id = r.id JOIN sample s ON s.id = l.sample_id"
        " JOIN plan p ON p.id = s.plan_id WHERE r.student = 'star.g2' GROUP BY p.name",
    )
    return Gate(
        name="what the second generation learned from",
        figure=", ".join(f"{count} of {name}, {right} correct" for name, count, right in found),
        threshold="correct samples of star.g2 and star.g2.hinted alone",
        passed=bool(found)
        and all(name.startswith("star.g2") and count == right for name, count, right in found),
    )
