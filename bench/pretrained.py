"""A pretrained base beside TRL on the same rows, full and LoRA: `python -m bench.pretrained BASE [full] [lora]`.

BASE is a local directory, such as SmolLM2-135M-Instruct. Rows are questions with rationales of 300 to 2,000 characters.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

from bench.students import Trained, make_run, ours, questions, theirs
from bench.tables import Row, Table, ratio
from engine.methods import TrainRow

WAYS = {"full": 0, "lora": 8}
THREADS = 1
STEPS = 10
BATCH = 512
NAMES = ("Anna", "Ben", "Carla", "David", "Emma", "Frank", "Grace", "Henry")
THINGS = ("apples", "books", "tickets", "marbles", "coins", "letters", "plates", "stamps")
SENTENCES = (
    "{name} starts the day with {one} {things} and gives {two} of them to {other}.",
    "That leaves {one} minus {two}, which is {three}, before anything else happens.",
    "Then {other} buys another {two} {things} at the market and puts them in a box.",
    "So the total is now {one} plus {two}, and we have to remember it for the last step.",
    "Since every box holds {two} {things}, we need to divide {one} by {two} and round up.",
    "We should check that the number of {things} that {name} has is not negative.",
)


def worked(count: int, seed: int = 0) -> list[TrainRow]:
    """Rows with rationales of 300 to 2,000 characters in plain English."""
    chance = random.Random(seed)

    def sentence() -> str:
        one, two = chance.randint(10, 99), chance.randint(2, 9)
        return chance.choice(SENTENCES).format(
            name=chance.choice(NAMES),
            other=chance.choice(NAMES),
            things=chance.choice(THINGS),
            one=one,
            two=two,
            three=one - two,
        )

    found = []
    for number in range(count):
        length, parts = chance.randint(300, 2000), [sentence()]
        while len(" ".join(parts)) < length - 60:
            parts.append(sentence())
        found.append(
            TrainRow(
                sample_id=number,
                question_id=number,
                question=f"{sentence()} {sentence()} How many are left?",
                rationale=" ".join(parts),
                answer=str(chance.randint(1, 99)),
            )
        )
    return found


def compare(base: Path, name: str) -> list[Row]:
    """One way of training, with Coterie and then with TRL."""
    rank, taught = WAYS[name], worked(200)
    with tempfile.TemporaryDirectory() as scratch:
        settings = {"steps": STEPS, "batch_tokens": BATCH, "checkpoint_steps": 10_000, "lora_rank": rank}
        run = make_run(
            Path(scratch) / "run", str(base), taught, questions(taught, 1), settings, {"max_new_tokens": 2}
        )
        mine = ours(run, device="cpu", threads=THREADS)
        each = max(1, round(mine.tokens_per_step * len(taught) / mine.tokens))
        other = theirs(
            run,
            base,
            device="cpu",
            threads=THREADS,
            steps=STEPS,
            batch=each,
            length=1_024,
            packing=False,
            lora_rank=rank,
        )
    return compared(name, mine, other)


def compared(name: str, mine: Trained, other: Trained | None) -> list[Row]:
    """The figures of both."""
    found = []
    for what, field, form, wanted in (
        ("tokens per CPU-second", "tokens_per_cpu_second", "{:,.1f}", "ratio ≥ 1"),
        ("tokens a step", "tokens_per_step", "{:,.0f}", ""),
        ("a checkpoint", "save_s", "{:.2f} s", ""),
        ("resident memory while training, at most", "memory_mb", "{:,.0f} MB", "ratio < 1"),
    ):
        one = getattr(mine, field)
        if other is None or other.said.startswith("failed"):
            found.append(
                Row(f"{name}: {what}", form.format(one), other.said if other else "no TRL", "", wanted)
            )
            continue
        two = getattr(other, field)
        found.append(Row(f"{name}: {what}", form.format(one), form.format(two), ratio(one, two), wanted))
    return found


def main(argv: list[str]) -> int:
    """Prints the table, after each way."""
    base, *names = argv
    about = (
        f"{Path(base).name}, float32, {THREADS} thread, rationales of 300 to 2,000 characters, {BATCH} tokens a batch with Coterie and as"
        f" many rows a step with TRL's SFTTrainer (grouped by length), {STEPS} steps of which the first five are left out. LoRA of"
        " rank 8 on all linear layers. Tokens are those of rows, without padding."
    )
    rows: list[Row] = []
    for name in names or WAYS:
        rows += compare(Path(base), name)
        print(Table("A pretrained base beside TRL", about, rows).markdown(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
