"""Specialised students (Fu et al. 2023): the sparse divergence, alignment, and a trained student whose distributions are learned.

A nano student that has learned coin flips is the teacher: it samples the texts of 60 questions, with its five likeliest tokens at each
place. Students with its tokenizer learn them by heart, as tokens and as distributions, and their loss is that on texts of
the teacher that none of them saw. The log-probabilities take the way of a run: packed, read, aligned, made into columns.
With `broken`, distributions are a token late where they may not be and on time where that is to be noticed, most tokens are missing
where all are to be known, tails are left out, and texts are taken from another row.
"""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.systems.ensemble import BATCH, lessons, loss, opened, student
from bench.systems.gates import Gate
from engine.config.students import EvaluationConfig
from engine.curation.align import spans, taught_spans
from engine.methods import TrainRow
from state.logprobs import Logprobs, pack, unpack

SEEDS = (0, 1, 2, 3, 4)
ROWS = 60
HELD = 60
STEPS = 200
TAUGHT = 350
"""Steps of the teacher."""
KNOWN = 5
VOCABULARY = 300
T_975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}
"""Quantiles of Student's t, by degrees of freedom."""


def gates(
    broken: bool, *, seeds: Sequence[int] = SEEDS, steps: int = STEPS, taught: int = TAUGHT
) -> Iterator[Gate]:
    """The gates, in order.

    Args:
        broken: whether each gate is to fail.
        seeds: of the students.
        steps: optimizer steps of each student.
        taught: optimizer steps of the teacher.
    """
    yield from _divergences(broken)
    with tempfile.TemporaryDirectory() as folder:
        lesson, asked = lessons(HELD)
        form, tokenizer = opened(Path(folder), lesson)
        teacher = student(100, form, tokenizer, lesson, taught)
        rows, known = said_by(teacher, form, tokenizer, lesson[:ROWS], seed=1)
        yield _texts(broken, form, tokenizer, rows, known)
        held, _ = said_by(teacher, form, tokenizer, asked, seed=2)
        own = loss(teacher, form, tokenizer, held)
        tokens, distributions, late = _columns(form, tokenizer, rows, known)

        def taught_by(columns: Any, objective: str) -> list[float]:
            return [
                loss(learned(seed, form, tokenizer, columns, objective, steps), form, tokenizer, held)
                for seed in seeds
            ]

        plain = taught_by(tokens, "tokens")
        softly = taught_by(late if broken else distributions, "distribution")
        apart = [one - other for one, other in zip(softly, plain, strict=True)]
        mean = statistics.fmean(apart)
        width = T_975[len(apart) - 1] * statistics.stdev(apart) / len(apart) ** 0.5
        yield Gate(
            name=f"distributions, {ROWS} rows, one tokenizer",
            figure=f"{statistics.fmean(softly):.3f} nats a token ({_shown(softly)}); tokens {statistics.fmean(plain):.3f}"
            f" ({_shown(plain)}); difference {mean:+.3f} ({mean - width:+.3f} to {mean + width:+.3f}, 95 % over seeds); the"
            f" teacher's own {own:.3f}",
            threshold="below that of tokens on the mean of seeds",
            passed=mean < 0,
            seeds=seeds,
        )
        shifted = distributions if broken else late
        noticed = loss(
            learned(seeds[0], form, tokenizer, shifted, "distribution", steps), form, tokenizer, held
        )
        yield Gate(
            name="distributions that are one token late",
            figure=f"{noticed:.3f} nats a token",
            threshold=f"above twice that of tokens, {2 * plain[0]:.3f}",
            passed=noticed > 2 * plain[0],
            seeds=seeds[:1],
        )


def _divergences(broken: bool) -> Iterator[Gate]:
    """The sparse divergence beside the dense one."""
    import torch

    from engine.students.objectives import OBJECTIVES

    kind = OBJECTIVES["distribution"]
    chance = torch.Generator().manual_seed(0)
    logits, other = (3 * torch.randn(200, VOCABULARY, generator=chance) for _ in range(2))
    teacher = other.softmax(-1)
    dense = torch.nn.functional.kl_div(logits.log_softmax(-1), teacher, reduction="none").sum(1)

    def sparse(known: int, *, tail: bool = True) -> Any:
        shares, ids = teacher.topk(known)
        if not tail:
            shares = shares / shares.sum(1, keepdim=True)
        return kind.losses(logits, ids[:, 0], ids, shares)

    off = float((sparse(VOCABULARY // 10 if broken else VOCABULARY) - dense).abs().max())
    yield Gate(
        name="all tokens known", figure=f"{off:.1e} nats from the dense divergence", threshold="at most 1e-5",
        passed=off <= 1e-5, seeds=(0,),
    )  # fmt: skip
    over = {known: float((sparse(known, tail=not broken) - dense).max()) for known in (1, 2, 5, 20)}
    yield Gate(
        name="a few tokens and a tail",
        figure=", ".join(f"{known}: {value:+.3f}" for known, value in over.items())
        + " nats above dense at most",
        threshold="never above the dense divergence",
        passed=max(over.values()) <= 1e-5,
        seeds=(0,),
    )


def _texts(
    broken: bool, form: Any, tokenizer: Any, rows: Sequence[TrainRow], known: dict[int, list[bytes]]
) -> Gate:
    """Whether the tokens of teacher and student give the text back, and cover the same characters."""
    from engine.students.tokenizer import token_texts

    texts = token_texts(tokenizer)
    whole = found = places = 0
    for row, (_, ids) in zip(rows, form.row_ids(rows), strict=True):
        text = form.outline.written(row)
        tokens = unpack(known[row.sample_id or 0][0]).tokens
        if broken:
            tokens = tokens[1:]
        own = spans([texts[each] for each in ids], text)
        taught = taught_spans(tokens, text, row.rationale or "")
        said = "".join(text[slice(*span)] for span in own if span)
        covered = "".join(text[slice(*span)] for span in taught if span)
        whole += said == text and (row.rationale or "") in covered
        found += len({span for span in own if span} & {span for span in taught if span})
        places += len(ids)
    return Gate(
        name="texts from tokens",
        figure=f"{whole} of {len(rows)} rationales, {found / places:.0%} of tokens with a distribution",
        threshold="all, and at least 90 % (one tokenizer)",
        passed=whole == len(rows) and found >= 0.9 * places,
    )


def said_by(
    teacher: Any, form: Any, tokenizer: Any, asked: Sequence[TrainRow], *, seed: int
) -> tuple[list[TrainRow], dict[int, list[bytes]]]:
    """What a student samples for some questions, as rows, and its packed log-probabilities by their ids."""
    import torch

    from engine.students.evaluate import writer

    torch.manual_seed(seed)
    write = writer(
        teacher, tokenizer, form, EvaluationConfig(max_new_tokens=60, batch_size=20), stopping=lambda: False
    )
    rows, known = [], {}
    for row, completion in zip(asked, write([each.question for each in asked], 1.0), strict=True):
        rationale, arrow, answer = completion.text.partition("-->")
        if not arrow or not rationale.strip() or not form.parse(completion.text):
            rationale, answer = row.rationale or "", row.answer
        made = row.model_copy(
            update={"rationale": rationale.strip(), "answer": form.parse(f" x --> {answer}") or row.answer}
        )
        rows.append(made)
        [(prompt, ids)] = form.row_ids([made])
        known[row.sample_id or 0] = [pack(scored(teacher, tokenizer, prompt, ids))]
    return rows, known


def scored(teacher: Any, tokenizer: Any, prompt: Sequence[int], ids: Sequence[int]) -> Logprobs:
    """The log-probabilities of a completion, as a server sends them: without the end token."""
    import torch

    written = list(ids)[:-1]
    with torch.inference_mode():
        logits = teacher(input_ids=torch.tensor([[*prompt, *written]])).logits[0, len(prompt) - 1 : -1]
    log = logits.float().log_softmax(-1)
    values, best = log.topk(KNOWN)

    def text(key: int) -> str:
        found: str = tokenizer.decode([key], skip_special_tokens=False)
        return found

    return Logprobs(
        tuple(text(key) for key in written),
        tuple(float(log[place, key]) for place, key in enumerate(written)),
        tuple(
            tuple((text(key), value) for key, value in zip(keys, each, strict=True))
            for keys, each in zip(best.tolist(), values.tolist(), strict=True)
        ),
    )


def _columns(
    form: Any, tokenizer: Any, rows: Sequence[TrainRow], known: dict[int, list[bytes]]
) -> tuple[list[Any], list[Any], list[Any]]:
    """The rows as tokens: alone, with distributions, and with distributions that are one token late."""
    from engine.students.targets import Targets
    from engine.students.token_rows import tokenize
    from engine.students.tokenizer import token_texts

    targets = Targets(known, KNOWN, token_texts(tokenizer), form.outline.written, tail=True)
    plain, _ = tokenize(form, rows, max_length=200)
    softly, _ = tokenize(form, rows, max_length=200, targets=targets)
    late = [
        replace(row, columns=tuple(np.roll(column, 1, axis=0) for column in row.columns)) for row in softly
    ]
    return plain, softly, late


def learned(seed: int, form: Any, tokenizer: Any, rows: Sequence[Any], objective: str, steps: int) -> Any:
    """A nano student that has learned these rows by an objective; a function of the seed."""
    import torch

    from engine.students.architecture import DECODER
    from engine.students.builtin import make
    from engine.students.evaluate import prepare_generation
    from engine.students.objective import Student
    from engine.students.objectives import OBJECTIVES
    from engine.students.packing import on_device
    from engine.students.sizes import SIZES
    from engine.students.tokenizer import pad_id

    torch.set_num_threads(1)
    pad = pad_id(tokenizer)
    model = make(SIZES["nano"], len(tokenizer), end=tokenizer.eos_token_id, pad=pad, positions=256, seed=seed)
    learner = Student(model, objective=OBJECTIVES[objective])
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.0)
    order = random.Random(seed)
    for step in range(steps):
        batch = DECODER.collate(order.sample(list(rows), min(BATCH, len(rows))), pad)
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * min(1.0, (step + 1) / 20) * (1 - 0.9 * step / steps)
        value = learner(*on_device(batch, torch.device("cpu")), 1 / len(batch.targets))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    prepare_generation(model, tokenizer, form)
    return model.eval()


def _shown(values: Sequence[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)
