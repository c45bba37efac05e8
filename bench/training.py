"""Training and evaluation of small students on a CPU, beside TRL and transformers on the same rows: `python -m bench.training`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench.cli import alone
from bench.students import Size, Trained, make_base, make_run, ours, questions, rows, theirs
from bench.tables import Row, Table, ratio
from engine.students.sizes import SIZES

SPEEDS = Path(__file__).with_name("generation.py")
# Name, words per row, vocabulary (small enough for one token per word), tokens per batch, steps.
WORK = (("nano", (40, 90), 60, 512, 300), ("mini", (60, 160), 300, 1_024, 24))
THREADS = 1
"""Threads of either side: other programs then slow both alike, and CPU time counts work rather than waiting."""
TURNS = 3


def bench(quick: bool) -> Table:
    """A nano and a mini student: start, tokens per second, checkpoint; then generation with the mini student."""
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, (low, high), words, batch, steps in WORK:
            folder = Path(scratch) / name
            steps = max(15, steps // 5) if quick else steps
            taught = rows(600, low, high, words=words)
            size = SIZES[name]
            base = folder / "base"
            parameters = make_base(
                base,
                Size(
                    name=name,
                    layers=size.layers,
                    width=size.width,
                    inner=size.inner,
                    heads=size.heads,
                    groups=size.heads,
                    vocabulary=size.vocabulary,
                ),
                taught,
            )
            settings = {"steps": steps, "batch_tokens": batch, "checkpoint_steps": 10_000}
            mine: list[Trained] = []
            other: list[Trained] = []
            for turn in range(1 if quick else TURNS):
                run = make_run(folder / f"run{turn}", str(base), taught, questions(taught, 1), settings)
                mine.append(ours(run, device="cpu", threads=THREADS))
                each = max(1, round(mine[0].tokens_per_step * len(taught) / mine[0].tokens))
                done = theirs(
                    run,
                    base,
                    device="cpu",
                    threads=THREADS,
                    steps=steps,
                    batch=each,
                    length=1_024,
                    packing=False,
                )
                if done is not None:
                    other.append(done)
            found += compared(f"{name}, {parameters / 1e6:.2f} M parameters", mine, other)
        found += answers(run, 16 if quick else 48)
    about = (
        f"Measured: Coterie (one process, {THREADS} thread, fp32, ZeRO 2 as by default, batches by tokens); reference: TRL's SFTTrainer (the same, "
        "grouped by length, as many rows a step as ours has on average), then plain transformers, on the same rows, weights and threads "
        f"in the same run. Each trained {1 if quick else TURNS} times, in turns; the best of each figure is shown. Tokens are those of "
        "rows, without padding; the first five steps are left out. CPU-seconds are those of the training process and its threads. A checkpoint of ours is on the disk (synced) when it counts."
    )
    return Table("Training on a CPU", about, found)


def compared(name: str, mine: Sequence[Trained], other: Sequence[Trained]) -> list[Row]:
    """The best figures of one model."""
    wrong = (
        next((one.said for one in other if one.said.startswith("failed")), "")
        if other
        else "TRL is not installed"
    )
    lines: list[tuple[str, str, str, Callable[[Iterable[float]], float], str]] = [
        (f"{name}: tokens per second", "tokens_per_second", "{:,.0f}", max, "ratio ≥ 1"),
        ("  tokens a CPU-second", "tokens_per_cpu_second", "{:,.0f}", max, "ratio ≥ 1"),
        ("  tokens a step", "tokens_per_step", "{:,.0f}", max, ""),
        ("  start to first step", "first_step_s", "{:.1f} s", min, ""),
        ("  a checkpoint", "save_s", "{:.2f} s", min, ""),
        ("  resident memory, at most", "memory_mb", "{:,.0f} MB", min, ""),
    ]
    found = []
    for what, field, form, best, wanted in lines:
        one = best(getattr(each, field) for each in mine)
        if wrong:
            found.append(Row(what, form.format(one), wrong if what is lines[0][0] else "", "", wanted))
            continue
        two = best(getattr(each, field) for each in other)
        found.append(Row(what, form.format(one), form.format(two), ratio(one, two), wanted))
    return found


def answers(run: Path, count: int) -> list[Row]:
    """Generated tokens per CPU second: as in evaluation, and in other ways with transformers."""
    done = subprocess.run(
        [sys.executable, "-P", str(SPEEDS), str(run / "student"), str(run / "manifest.jsonl"), str(count)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": str(THREADS)},
        capture_output=True,
        text=True,
        check=True,
    )
    speeds = json.loads(done.stdout.strip().splitlines()[-1])
    mine = speeds["static"]
    return [
        Row(
            f"mini: {count} answers of 64 tokens, tokens per CPU second; reference: {what}",
            f"{mine:,.0f}",
            f"{speeds[key]:,.0f}",
            ratio(mine, speeds[key]),
        )
        for key, what in (
            ("given order", "generate() on batches in the given order"),
            ("continuous", "generate_batch(), continuous"),
            ("one by one", "generate(), one by one"),
        )
    ]


if __name__ == "__main__":
    alone(bench)
