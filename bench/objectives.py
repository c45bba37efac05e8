"""What an objective costs: `python -m bench objectives`, or `python -m bench.objectives [--vocabulary V] [--tokens N]`.

The head: one decoder layer with a head of V x 512 learns N supervised tokens, whole and in chunks of a quarter; a distribution has five
tokens and a tail. Each case has a process of its own. Memory is the peak of a forward and backward pass above what the process had before
it; time is the least of several passes.

The step: a built-in student learns the same batch in several ways in turn, in one process: forward, backward and AdamW. Among them is the
plain loss of the version before there were objectives (`Before`). Times are medians: CPU seconds, on a GPU those of the clock.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.tables import Row, Table
from engine.config import TrainingConfig
from engine.students.objectives import OBJECTIVES
from engine.students.token_rows import TokenRow, weighted

WIDTH = 512
VOCABULARY, TOKENS = 32_000, 512
KNOWN = 5
PASSES = 3
CHUNKS = (1, 4)
WEIGHTED = "tokens, rows with weights"
CASES = (*OBJECTIVES, WEIGHTED)
BEFORE = "the plain loss"
STEP_WANTED = 1.02
STEPS = 150
"""Steps of each way."""
ROWS = 512
"""Supervised tokens of the batch of a step."""


def rows(objective: str, vocabulary: int, tokens: int) -> list[TokenRow]:
    """Rows of 64 supervised tokens after a prompt of one."""
    chance = np.random.default_rng(0)
    found = []
    for _ in range(max(1, tokens // 64)):
        ids = chance.integers(0, vocabulary, 65).astype(np.int64)
        columns: tuple[np.ndarray, ...] = ()
        if OBJECTIVES[objective].reads_distributions:
            known = chance.integers(0, vocabulary, (64, KNOWN + 1)).astype(np.int32)
            known[:, 0] = ids[1:]
            columns = known, np.full(known.shape, 0.9 / (KNOWN + 1), dtype=np.float32)
        found.append(TokenRow(ids, 1, columns=columns))
    return found


def measure(case: str, vocabulary: int, tokens: int, chunks: int) -> dict[str, float]:
    """Megabytes and seconds of one case, in this process."""
    objective = "tokens" if case == WEIGHTED else case
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from engine.students.architecture import DECODER
    from engine.students.objective import Student
    from engine.students.packing import on_device

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=8,
        tie_word_embeddings=True,
    )
    student = Student(LlamaForCausalLM(config).to(device), DECODER, objective=OBJECTIVES[objective])
    taught = rows(objective, vocabulary, tokens)
    collated = DECODER.collate(taught, 0)
    if case == WEIGHTED:
        collated = weighted(collated, taught, np.arange(len(taught)) % 2)
    batch = on_device(collated, device)
    few = on_device(DECODER.collate(rows(objective, vocabulary, 64), 0), device)
    student(*few, 1.0, chunks).backward()  # gradients of the weights are allocated
    peak, seconds = 0.0, []
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    for _ in range(PASSES):
        before = _begin(device)
        begun = clock()
        student(*batch, 1.0, chunks).backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(clock() - begun)
        peak = max(peak, _peak(device) - before)
    return {"mb": peak / 2**20, "seconds": min(seconds)}


def _begin(device: object) -> float:
    """Forgets the peak; the bytes in use."""
    import torch

    if str(device).startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        return float(torch.cuda.memory_allocated())
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak(device: object) -> float:
    import torch

    return float(torch.cuda.max_memory_allocated()) if str(device).startswith("cuda") else _status("VmHWM")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * int(next(line for line in lines if line.startswith(name)).split()[1])


def before(model: Any) -> Any:
    """A student whose loss is torch's own: that of the version before there were objectives."""
    from torch.nn import functional

    from engine.students.architecture import DECODER
    from engine.students.objective import Student

    class Before(Student):
        def forward(
            self,
            inputs: Any,
            keep: Any,
            targets: Any,
            _columns: Any,
            _weights: Any,
            weight: float,
            _chunks: int = 1,
        ) -> Any:
            loss = functional.cross_entropy(self.logits(inputs, keep).float(), targets, reduction="sum")
            return loss * weight

    return Before(model, DECODER)


def paces(
    ways: Mapping[str, TrainingConfig | None], *, size: str = "nano", steps: int = STEPS
) -> tuple[dict[str, float], dict[str, int]]:
    """Seconds a step of each way, and the number of weights that it trains. The ways take turns, step by step.

    Args:
        ways: their settings, of which the adapter and the objective count; None: `before`.
        size: of the built-in student.
        steps: of each way.
    """
    import torch

    from engine.students.adapters import adapt
    from engine.students.architecture import DECODER
    from engine.students.builtin import make
    from engine.students.objective import Student
    from engine.students.packing import on_device
    from engine.students.sizes import SIZES

    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    vocabulary = SIZES[size].vocabulary
    turns: dict[str, Callable[[], float]] = {}
    trained: dict[str, int] = {}

    def turn(student: Any, batch: Any) -> Callable[[], float]:
        weights = [each for each in student.parameters() if each.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=1e-4)

        def step() -> float:
            begun = _clock(device)
            student(*on_device(batch, device), 1.0 / ROWS).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
            return _clock(device) - begun

        return step

    for name, way in ways.items():
        torch.manual_seed(0)
        model = make(SIZES[size], vocabulary, end=0, pad=1, positions=256, seed=0).to(device)
        if way is None:
            student = before(model)
        else:
            model = adapt(model, way).model
            student = Student(model, DECODER, objective=OBJECTIVES[way.objective])
        trained[name] = sum(each.numel() for each in student.parameters() if each.requires_grad)
        taught = rows("tokens" if way is None else way.objective, vocabulary, ROWS)
        turns[name] = turn(student, DECODER.collate(taught, 0))
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(steps + 10):
        for name, step in turns.items():
            seconds = step()
            if number >= 10:
                found[name].append(seconds)
    return {name: median(times) for name, times in found.items()}, trained


def _clock(device: object) -> float:
    import torch

    if str(device).startswith("cuda"):
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def bench(quick: bool, vocabulary: int = VOCABULARY, tokens: int = TOKENS) -> Table:
    """All figures."""
    if quick:
        vocabulary, tokens = vocabulary // 4, tokens // 4
    return Table(
        "Objectives",
        "What `training.objective` costs. The step: `builtin:nano` and `builtin:micro` learn a batch of 512 supervised tokens in several ways in turn, medians of"
        f" {STEPS // (10 if quick else 1)} steps each; the reference is the loss of the version before there were objectives. The head: one layer and a head of"
        f" {vocabulary:,} x {WIDTH}, {tokens:,} supervised tokens, a distribution of {KNOWN} tokens and a tail, in processes of their own; the reference is `tokens`.",
        [*_steps(quick), *_heads(vocabulary, tokens)],
    )


def _steps(quick: bool) -> list[Row]:
    ways = {BEFORE: None} | {name: TrainingConfig(objective=name) for name in OBJECTIVES}
    found = []
    for size in ("nano", "micro"):
        seconds, _ = paces(ways, size=size, steps=STEPS // (10 if quick else 1))
        for name in OBJECTIVES:
            ratio = seconds[name] / seconds[BEFORE]
            wanted = f"≤ {STEP_WANTED:.2f}" if name == "tokens" else ""
            shown = (f"{1e3 * each:.2f} ms" for each in (seconds[name], seconds[BEFORE]))
            found.append(Row(f"a step of {size}, {name}", *shown, f"{ratio:.3f}", wanted))
    return found


def _heads(vocabulary: int, tokens: int) -> list[Row]:
    found = []
    for chunks in CHUNKS:
        first: dict[str, float] = {}
        how = "whole" if chunks == 1 else f"in {chunks} chunks"
        for name in CASES:
            command = [sys.executable, "-m", "bench.objectives", "--case", name, str(chunks)]
            command += ["--vocabulary", str(vocabulary), "--tokens", str(tokens)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            case = json.loads(done.stdout.splitlines()[-1])
            first = first or case
            for key, form in (("mb", "{:,.0f} MB"), ("seconds", "{:.2f} s")):
                what = f"the head, {how}, {name}: {'memory' if key == 'mb' else 'time'}"
                shown = [form.format(each[key]) for each in (case, first)]
                found.append(Row(what, *shown, f"{case[key] / first[key]:.2f}"))
    return found


def main(argv: list[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.objectives", description=__doc__)
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY)
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--case", nargs=2, metavar=("CASE", "CHUNKS"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.case:
        name, chunks = options.case
        print(json.dumps(measure(name, options.vocabulary, options.tokens, int(chunks))))
        return 0
    print(bench(False, options.vocabulary, options.tokens).markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
