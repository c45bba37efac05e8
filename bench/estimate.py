"""Errors of the token estimate: `python -m bench.estimate FOLDER`, a folder of recorded completions.

No tokenizer is downloaded: a byte-level BPE of 30,000 pieces is trained on one half of the texts and counts the other half.
It represents a vocabulary fitted to its texts; those of providers are larger and fit less closely.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from engine.teachers.tokens import Correction, bound_tokens, estimate_tokens

PIECES = 30_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Errors:
    """Errors on one kind of text, relative to the true count."""

    texts: int
    ratio: float
    """Ratio of all true tokens to all estimated ones."""
    median: float
    p95: float
    corrected_median: float
    """With the ratio learned from the previous texts."""
    over_bound: int
    """Texts with more tokens than the budget reserves."""


def measure(folder: Path, seed: int = 0) -> dict[str, Errors]:
    """The errors on questions and on rationales."""
    rows = []
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows += [json.loads(line) for line in file]
    random.Random(seed).shuffle(rows)
    half = len(rows) // 2
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=PIECES, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(
        [row[kind] for row in rows[:half] for kind in ("question", "rationale")], trainer
    )
    found = {}
    for kind in ("question", "rationale"):
        texts = [row[kind] for row in rows[half:] if row[kind]]
        counts = [len(encoding.ids) for encoding in tokenizer.encode_batch(texts)]
        found[kind] = _errors(texts, counts)
    return found


def _errors(texts: list[str], counts: list[int]) -> Errors:
    estimates = [estimate_tokens(text) for text in texts]
    correction, plain, corrected = Correction(), [], []
    for estimate, count in zip(estimates, counts, strict=True):
        plain.append(abs(estimate - count) / count)
        corrected.append(abs(correction.apply(estimate) - count) / count)
        correction.observe(estimate, count)
    return Errors(
        texts=len(counts),
        ratio=sum(counts) / sum(estimates),
        median=statistics.median(plain),
        p95=sorted(plain)[int(0.95 * len(plain))],
        corrected_median=statistics.median(corrected),
        over_bound=sum(count > bound_tokens(text) for text, count in zip(texts, counts, strict=True)),
    )


def main() -> None:
    """Prints the errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="recorded completions, *.jsonl.gz")
    for kind, errors in measure(parser.parse_args().folder).items():
        sys.stdout.write(
            f"{kind}s ({errors.texts:,}): median error {errors.median:.0%}, 95th percentile {errors.p95:.0%};"
            f" {errors.ratio:.2f} true tokens for each estimated one; {errors.over_bound:,} above the reserved bound\n"
        )


if __name__ == "__main__":
    main()
