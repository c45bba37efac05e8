"""The whole matrix of exactness, as a table: `make exact` (about fifteen minutes on two cores).

`python -m tests.engine.students.exact SEED KIND …` runs some kinds. Each line is a kind of student, padded or packed, at a ZeRO stage. The columns are the greatest relative difference
from the same run at stage 0 on one rank, over the losses and gradient norms of all steps:

    1x2, 2x1, 2x2   ranks x accumulation (2x2 against 1x4): the same rows in each step
    killed 1, 2     SIGKILL at a step drawn by chance on as many ranks, started again: against the run itself
    1>2, 2>1        stopped, and gone on with another number of ranks

Then students without dropout are compiled (where there is a compiler), at stages 0 and 2, and compared with themselves.
It fails where a number is beyond rounding, or an interrupted run is not equal to itself to the last bit.
"""

from __future__ import annotations

import itertools
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.students.kernels import compiler
from tests.engine.students.runs import by_teachers, make_base, make_run, numbers, run_ranks

PREFIX = {"adapter": "prefix", "prefix_tokens": 4, "learning_rate": 3e-2}
DISTRIBUTIONS = {"objective": "distribution", "loss_chunk": 40}
SELECTED = {"select": "reinforce"}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "decoder": ("gpt2", {}),
    "encoder-decoder": ("t5", {}),
    "lora": ("llama", {"adapter": "lora", "lora_rank": 4}),
    "prefix": ("llama", PREFIX),
    "distributions": ("gpt2", DISTRIBUTIONS),
    "selected": ("gpt2", SELECTED),
    "selected distributions": ("gpt2", DISTRIBUTIONS | SELECTED),
    "prefix of distributions": ("llama", PREFIX | DISTRIBUTIONS | SELECTED),
    "lora of distributions": ("llama", {"adapter": "lora", "lora_rank": 4} | DISTRIBUTIONS | SELECTED),
}
"""The base of each kind of student, and its settings."""
REFUSED = {
    *((kind, "packed") for kind, (_, settings) in KINDS.items() if "prefix_tokens" in settings),
    *((kind, 3) for kind, (_, settings) in KINDS.items() if {"prefix_tokens", "select"} & settings.keys()),
}
"""Kinds that are not packed, or not trained at a stage."""
COMPILED = ("nano", "nano-t5")
STAGES = (0, 1, 2, 3)
ROUNDING = 3e-5
STEPS = {"steps": 12, "checkpoint_steps": 4}
COLUMNS = ("1x2", "2x1", "2x2", "killed 1", "killed 2", "1>2", "2>1")


def difference(run: Path, reference: Path) -> float:
    """The greatest relative difference of two runs' losses and gradient norms."""
    found, expected = numbers(run), numbers(reference)
    if found.keys() != expected.keys():
        return float("inf")
    pairs = ((found[step][place], expected[step][place]) for step in expected for place in (0, 2))
    return max(abs(one - other) / abs(other) for one, other in pairs)


def train(runs: list[Path], world: int, strike: str = "", limit: float = 240) -> None:
    """Trains runs in turn in as many processes."""
    for code, codes, log in run_ranks(*runs, world=world, strike=strike, limit=limit):
        if (code or any(codes)) and "SIGKILL" not in strike:
            raise SystemExit(f"a run failed:\n{log}")


def matrix(folder: Path, draw: random.Random, kinds: Sequence[str]) -> dict[tuple, dict[str, float]]:
    """All lines of some kinds: kind, packed and stage to column to difference."""
    bases = {base: make_base(folder / base, base) for base in {KINDS[kind][0] for kind in kinds}}
    lines = [
        line
        for line in itertools.product(kinds, (False, True), STAGES)
        if not (line[1] and (line[0], "packed") in REFUSED) and (line[0], line[2]) not in REFUSED
    ]

    def runs(name: str, **training: int) -> dict[tuple, Path]:
        return {
            (kind, packed, stage): make_run(
                folder / f"{kind}-{packed}-{stage}-{name}",
                base=str(bases[KINDS[kind][0]]),
                training={**STEPS, "packing": packed, "zero_stage": stage, **KINDS[kind][1], **training},
                taught_distributions="objective" in KINDS[kind][1],
                train=by_teachers() if "select" in KINDS[kind][1] else None,
                evaluation={"dev_evaluations": 0},
            )
            for kind, packed, stage in lines
        }

    whole = {
        "1x2": runs("1x2", accumulation=2),
        "1x4": runs("1x4", accumulation=4),
        "2x1": runs("2x1", devices=2),
        "2x2": runs("2x2", devices=2, accumulation=2),
    }
    moved = {"1>2": runs("up", accumulation=2), "2>1": runs("down", devices=2)}
    train([*whole["1x2"].values(), *whole["1x4"].values()], 1)
    train([*whole["2x1"].values(), *whole["2x2"].values()], 2)
    train([*moved["1>2"].values()], 1, "3:0:SIGTERM")
    train([*moved["2>1"].values()], 2, "3:1:SIGTERM")
    train([*moved["1>2"].values()], 2)
    train([*moved["2>1"].values()], 1)
    killed = {1: runs("killed1", accumulation=2), 2: runs("killed2", devices=2)}
    for world, some in killed.items():
        padded = [run for line, run in some.items() if not line[1]]  # what is saved does not know of packing
        for run in padded:
            train([run], world, f"{draw.randint(1, 12)}:{draw.randrange(world)}:SIGKILL")
        train(padded, world)
    table = {}
    for line in lines:
        first = whole["1x2"][*line[:2], 0]
        table[line] = {
            **{name: difference(whole[name][line], first) for name in ("1x2", "2x1")},
            "2x2": difference(whole["2x2"][line], whole["1x4"][*line[:2], 0]),
            **({} if line[1] else {"killed 1": difference(killed[1][line], whole["1x2"][line])}),
            **({} if line[1] else {"killed 2": difference(killed[2][line], whole["2x1"][line])}),
            **{name: difference(moved[name][line], first) for name in ("1>2", "2>1")},
        }
    return table


def compiled(folder: Path) -> dict[str, float]:
    """The difference that torch.compile makes, by student and stage; compiling takes a minute each."""
    found = {}
    for base, stage in itertools.product(COMPILED, (0, 2)):
        one, other = (
            make_run(
                folder / f"{base} {stage} {compile}",
                base=f"builtin:{base}",
                training={**STEPS, "zero_stage": stage, "compile": compile},
                evaluation={"dev_evaluations": 0},
            )
            for compile in (False, True)
        )
        train([one, other], 1, limit=900)
        found[f"{base}, stage {stage}"] = difference(other, one)
    return found


def main(seed: int, *kinds: str) -> int:
    """Prints the table, of some kinds or of all and of compiled students; 1 where something is not exact."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        table = matrix(Path(folder), random.Random(seed), kinds or [*KINDS])
        ways = compiled(Path(folder)) if compiler() and not kinds else {}
    say = sys.stdout.write
    say(f"| student | rows | stage | {' | '.join(COLUMNS)} |\n|---|---|---|{'---|' * len(COLUMNS)}\n")
    wrong = 0
    for (kind, packed, stage), cells in table.items():
        shown = " | ".join(
            f"{cells[name]:.0e}" if cells.get(name) else "" if name not in cells else "0" for name in COLUMNS
        )
        say(f"| {kind} | {'packed' if packed else 'padded'} | {stage} | {shown} |\n")
        wrong += sum(value > (0 if name.startswith("killed") else ROUNDING) for name, value in cells.items())
    for name, value in ways.items():
        say(f"compiled {name}: {value:.0e}\n")
        wrong += value > ROUNDING
    say(
        f"seed {seed}, {time.monotonic() - begun:.0f} s: {wrong or 'none'} of {sum(map(len, table.values())) + len(ways)} beyond rounding\n"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0, *sys.argv[2:]))
