"""Nano students that learn multi-step arithmetic in this process: what the checks of operations start from."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.config.students import EvaluationConfig
from engine.forms import FIRST, form_of
from engine.forms.base import BaseFacts
from engine.methods import METHODS, TrainRow
from engine.students.sizes import SIZES
from engine.tasks.builtin import BUILTIN_TASKS
from engine.tasks.procedural import trace
from engine.tasks.procedural.task import generate

METHOD = METHODS["fine-tune-cot"]
LENGTH = 400
BATCH = 16


def lessons(name: str, train: int, held: int, rationales: int = 4) -> tuple[list[TrainRow], list[TrainRow]]:
    """Rows of a procedural task: several rationales a question, and questions that are held back, one row each."""
    task = BUILTIN_TASKS[name]
    made = generate(task, seed=0, sizes={"train": train, "dev": 0, "test": held}, options=task.options())
    found: dict[str, list[TrainRow]] = {"train": [], "test": []}
    for number, each in enumerate(made):
        solved = task.find(each.text)
        assert solved is not None
        steps = trace(solved.problem)
        for replicate in range(rationales if each.split == "train" else 1):
            draw = random.Random(f"{number} {replicate}")
            text = task.renderer.render(steps, random.Random(0), draw, 0.7, terse=True)
            found[each.split].append(
                TrainRow(
                    sample_id=number,
                    question_id=number,
                    question=each.text,
                    rationale=text,
                    answer=each.answer,
                )
            )
    return found["train"], found["test"]


def opened(folder: Path, rows: Sequence[TrainRow]) -> tuple[Any, Any]:
    """The form and the tokenizer of students of these rows."""
    from engine.students.tokenizer import keep_tokenizer, load_tokenizer

    outline = form_of(FIRST).outline(FIRST, METHOD, BaseFacts())
    keep_tokenizer(folder / "tokenizer", rows, outline, SIZES["nano"].vocabulary)
    tokenizer = load_tokenizer(str(folder / "tokenizer"))
    return form_of(FIRST).open(FIRST, METHOD, tokenizer, encoder_decoder=False, note=print), tokenizer


def batches(form: Any, rows: Sequence[TrainRow]) -> list[Any]:
    """Rows in batches of one length."""
    from engine.students.activations import even_batches
    from engine.students.architecture import DECODER
    from engine.students.token_rows import tokenize

    return even_batches(tokenize(form, rows, max_length=LENGTH)[0], DECODER)


def taught(
    form: Any,
    tokenizer: Any,
    rows: Sequence[TrainRow],
    *,
    seed: int,
    steps: int,
    rate: float = 4e-3,
    start: Any | None = None,
) -> Any:
    """A nano student that has learned rows for some steps, from the beginning or from another student; a function of the seed."""
    import copy

    import torch

    from bench.systems.ensemble import losses
    from engine.students.architecture import DECODER
    from engine.students.builtin import make
    from engine.students.evaluate import prepare_generation
    from engine.students.token_rows import tokenize
    from engine.students.tokenizer import pad_id

    torch.set_num_threads(1)
    pad = pad_id(tokenizer)
    if start is None:
        model = make(
            SIZES["nano"],
            len(tokenizer),
            end=tokenizer.eos_token_id,
            pad=pad,
            positions=LENGTH + 100,
            seed=seed,
        )
    else:
        model = copy.deepcopy(start)
    model.requires_grad_().train()
    tokens, _ = tokenize(form, rows, max_length=LENGTH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    order = torch.Generator().manual_seed(seed)
    for step in range(steps):
        chosen = torch.randint(len(tokens), (BATCH,), generator=order).tolist()
        batch = DECODER.collate([tokens[place] for place in chosen], pad)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 20) * (1 - 0.9 * step / steps)
        value = losses(model, batch).mean()
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    prepare_generation(model, tokenizer, form)
    return model.eval().requires_grad_(requires_grad=False)


def loss(model: Any, form: Any, rows: Sequence[TrainRow]) -> float:
    """The mean loss of the learned tokens of rows, in nats."""
    import torch

    from bench.systems.ensemble import losses

    with torch.inference_mode():
        return float(torch.cat([losses(model, batch) for batch in batches(form, rows)]).double().mean())


def accuracy(
    model: Any, form: Any, tokenizer: Any, rows: Sequence[TrainRow], *, answer_format: str = "number"
) -> float:
    """The share of the questions of rows that a student answers correctly."""
    from engine.grading import grade
    from engine.students.evaluate import writer

    config = EvaluationConfig(max_new_tokens=90, batch_size=25)
    write = writer(model, tokenizer, form, config, stopping=lambda: False)
    said = [form.parse(each.text) for each in write([row.question for row in rows], None)]
    correct = [
        text is not None and grade(text, row.answer, answer_format, question=row.question).correct
        for text, row in zip(said, rows, strict=True)
    ]
    return sum(correct) / len(correct)


def said(values: Sequence[float]) -> str:
    """Figures of several seeds."""
    return ", ".join(f"{value:.3f}" for value in values)
