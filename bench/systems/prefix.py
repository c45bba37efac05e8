"""Prefix-tuning: what is trained, what stays, and whether it learns rows that its base does not know.

A nano student learns coin flips. On it, a prefix learns the same questions about the other side of the coin, of which the base knows nothing: its loss on
held-back rows has to fall below the base's. With `broken`, the prefix is put in as LoRA is, and the model is called without peft's wrapper.
"""

from __future__ import annotations

import itertools
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

from bench.systems.gates import Gate
from engine.config import EvaluationConfig, TrainingConfig
from engine.forms import FIRST, form_of
from engine.methods import METHODS, TrainRow
from engine.students.spec import EvalRow, Spec, write_rows

SEEDS = (0, 1, 2)
TOKENS = 8
LEAST = 0.15
"""Of the base's loss that the prefix has to take away."""
PEOPLE = ("Ann", "Bob", "Carla", "Dan", "Eve", "Finn")
BASE = MappingProxyType({"steps": 500, "batch_rows": 16, "learning_rate": 4e-3, "zero_stage": 0})
PREFIX = MappingProxyType(
    {
        **{"steps": 400, "batch_rows": 16, "learning_rate": 3e-2, "zero_stage": 0},
        **{"adapter": "prefix", "prefix_tokens": TOKENS},
    }
)


def lessons(count: int, seed: int, *, tails: bool) -> list[TrainRow]:
    """Coin flips, of which the answer says whether the side is up that is asked for."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        flips = [(draw.choice(PEOPLE), draw.random() < 0.5) for _ in range(draw.randint(1, 4))]
        asked = " ".join(f"{name} {'flips' if flip else 'waits'}." for name, flip in flips)
        sides = itertools.accumulate((flip for _, flip in flips), lambda up, flip: up ^ flip, initial=True)
        told = [
            f"{name}: {'heads' if up != tails else 'tails'}."
            for (name, _), up in zip(flips, [*sides][1:], strict=True)
        ]
        up = sum(flip for _, flip in flips) % 2 == 0
        found.append(
            TrainRow(
                sample_id=number,
                question_id=number,
                question=f"{asked} Heads?",
                rationale=" ".join(told),
                answer="yes" if up != tails else "no",
            )
        )
    return found


def trained(directory: Path, base: str, rows: Sequence[TrainRow], training: dict[str, Any], seed: int) -> str:
    """Trains a run in this process; why it failed, or nothing."""
    from engine.students import train

    directory.mkdir(parents=True)
    digest = write_rows(directory / "manifest.jsonl", rows)
    asked = EvalRow(
        question_id=10_000,
        task="t",
        split="test",
        question=rows[0].question,
        gold="yes",
        answer_format="yes_no",
    )
    write_rows(directory / "questions.jsonl", [asked])
    spec = Spec(
        run_id=1,
        student="s",
        scope="t",
        trigger="complete",
        method="fine-tune-cot",
        base=base,
        form=FIRST,
        training=TrainingConfig.model_validate({**training, "seed": seed}),
        evaluation=EvaluationConfig(dev_evaluations=0, max_new_tokens=24),
        manifest_digest=digest,
    )
    (directory / "spec.json").write_text(spec.to_json(), encoding="utf-8")
    if not train.main([str(directory)]):
        return ""
    events = [json.loads(line) for line in (directory / "progress.jsonl").read_text().splitlines()]
    return str(next(each["message"] for each in reversed(events) if each["event"] == "failed"))


class Opened:
    """An exported student, to take losses and answers from."""

    def __init__(self, student: Path, device: str = "cpu") -> None:
        from engine.students.exported_student import load_copy
        from engine.students.objective import Student
        from engine.students.operations.base import described_by
        from engine.students.tokenizer import load_tokenizer

        self.model = load_copy(student, device)
        self.student = Student(self.model).eval()
        self.tokenizer = load_tokenizer(str(described_by(student)))
        self.form = form_of(FIRST).open(
            FIRST, METHODS["fine-tune-cot"], self.tokenizer, encoder_decoder=False, note=lambda _said: None
        )

    def losses(self, rows: Sequence[TrainRow], together: int) -> list[float]:
        """The loss of each token, in order, computed so many rows at a time."""
        import torch
        from torch.nn import functional

        from engine.students.packing import on_device
        from engine.students.token_rows import tokenize
        from engine.students.tokenizer import pad_id

        found: list[float] = []
        ready, _ = tokenize(self.form, rows, max_length=1000)
        for start in range(0, len(ready), together):
            batch = self.student.architecture.collate(ready[start : start + together], pad_id(self.tokenizer))
            inputs, keep, targets, *_ = on_device(batch, torch.device("cpu"))
            with torch.no_grad():
                logits = self.student.logits(inputs, keep).float()
            found += functional.cross_entropy(logits, targets, reduction="none").tolist()
        return found

    def loss(self, rows: Sequence[TrainRow]) -> float:
        """Nats a token."""
        found = self.losses(rows, 16)
        return sum(found) / len(found)

    def written(self, rows: Sequence[TrainRow], together: int) -> list[list[int]]:
        """Greedy answers, so many questions at a time."""
        from engine.students.tokenizer import pad_id

        prompts = self.form.prompt_ids([row.question for row in rows])
        pad = pad_id(self.tokenizer)
        ends = set(self.form.ends)
        found: list[list[int]] = []
        for start in range(0, len(prompts), together):
            found += self.student.architecture.continuations(
                self.model, prompts[start : start + together], pad=pad, count=24
            )
        return [list(itertools.takewhile(lambda token: token not in ends, each)) for each in found]


def gates(broken: bool, *, seeds: Sequence[int] = SEEDS) -> Iterator[Gate]:
    """The gates, in order."""
    from engine.students import adapters

    made = adapters.adapt

    def inside(model: Any, training: TrainingConfig) -> Any:
        found = made(model, training)
        return adapters.Adapted(model, found.wrapper)

    held = lessons(40, 99, tails=True)
    before, after, failed = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            base, run = Path(folder) / f"base {seed}", Path(folder) / f"prefix {seed}"
            if why := trained(base, "builtin:nano", lessons(300, seed, tails=False), dict(BASE), seed):
                raise SystemExit(f"the base failed: {why}")
            before[seed] = Opened(base / "student").loss(held)
            with patch("engine.students.session.adapt", inside if broken else made):
                failed[seed] = trained(
                    run, str(base / "student"), lessons(300, 50 + seed, tails=True), dict(PREFIX), seed
                )
            if not failed[seed]:
                after[seed] = Opened(run / "student").loss(held)
        fell = [1 - after[seed] / before[seed] if seed in after else 0.0 for seed in seeds]
        yield Gate(
            name="loss on rows that the base does not know",
            figure=", ".join(
                f"{before[s]:.3f} to {after[s]:.3f}" if s in after else failed[s] for s in seeds
            ),
            threshold=f"at least {100 * LEAST:.0f} % less on each seed",
            passed=min(fell) >= LEAST,
            seeds=seeds,
        )
        if len(after) == len(seeds):
            yield from _identities(base / "student", run / "student", held, seeds[-1:])


def _identities(base: Path, student: Path, held: Sequence[TrainRow], seeds: Sequence[int]) -> Iterator[Gate]:
    from safetensors.numpy import load_file

    opened = Opened(student)
    saved = load_file(student / "adapter_model.safetensors")
    config = opened.model.config
    number = sum(each.size for each in saved.values())
    expected = TOKENS * config.num_hidden_layers * 2 * config.hidden_size
    yield Gate(
        name="trained numbers",
        figure=f"{number:,}",
        threshold=f"tokens x layers x 2 x width: {expected:,}",
        passed=number == expected,
        seeds=seeds,
    )
    same = (base / "model.safetensors").read_bytes() == (student / "base" / "model.safetensors").read_bytes()
    yield Gate(
        name="the base beside it",
        figure="equal" if same else "another",
        threshold="equal to the bit",
        passed=same,
        seeds=seeds,
    )
    alone, padded = opened.losses(held, 1), opened.losses(held, len(held))
    apart = max(abs(one - other) for one, other in zip(alone, padded, strict=True))
    yield Gate(
        name="padded rows against rows alone",
        figure=f"{apart:.1e} nats apart",
        threshold="at most 1e-4",
        passed=apart <= 1e-4,
        seeds=seeds,
    )
    one, many = opened.written(held, 1), opened.written(held, len(held))
    equal = sum(first == second for first, second in zip(one, many, strict=True))
    yield Gate(
        name="answers in a batch against one by one",
        figure=f"{equal} of {len(one)}",
        threshold="all equal",
        passed=equal == len(one),
        seeds=seeds,
    )
    again = Opened(student).losses(held, len(held))
    yield Gate(
        name="loaded again",
        figure="equal" if again == padded else "another",
        threshold="equal losses",
        passed=again == padded,
        seeds=seeds,
    )
