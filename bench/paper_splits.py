"""Writes `engine/tasks/paper_splits.json` from the paper's data: `python -m bench.paper_splits FOLDER`.

FOLDER has `TASK.train.jsonl.gz` and `TASK.test.jsonl.gz` for each of the twelve tasks; aqua's train part may be absent. Only hashes
of the questions are written. Without FOLDER's own data nothing is written.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from engine.curation.identity import identity
from engine.errors import UsageError
from engine.tasks.drafts import read_drafts
from engine.tasks.paper_splits import FILE, KEY_BYTES, encoded, key_of

SIZES = {
    "single_eq": (356, 152),
    "addsub": (276, 119),
    "multiarith": (420, 180),
    "gsm8k": (7473, 1319),
    "aqua": (10000, 254),
    "svamp": (700, 300),
    "date_understanding": (258, 111),
    "tracking_shuffled_objects": (525, 225),
    "last_letter_concatenation": (350, 150),
    "coin_flip": (350, 150),
    "commonsense_qa": (9741, 1221),
    "strategy_qa": (1603, 687),
}
"""Train and test questions of each task in the paper (table 6)."""
ANSWERS = {
    **dict.fromkeys(("aqua", "date_understanding", "tracking_shuffled_objects", "commonsense_qa"), "choice"),
    **dict.fromkeys(("coin_flip", "strategy_qa"), "yes_no"),
    "last_letter_concatenation": "text",
}
"""Formats of their answers that are not numbers."""
OPEN = ("gsm8k", "commonsense_qa", "aqua")
"""Tasks whose train part needs no list: everything that is not test."""
ABOUT = (
    f"Keys of the questions of the paper's splits: {KEY_BYTES} bytes each, blake2b of identity(question), sorted,"
    " base64. Made by bench/paper_splits.py; see engine/tasks/paper_splits.py."
)


def main(folder: Path) -> None:
    """Writes the file.

    Raises:
        UsageError: a split has another size than the paper's, or two of its questions share a key.
    """
    tasks = {}
    for task, sizes in SIZES.items():
        parts: dict[str, Any] = {"answer": ANSWERS.get(task, "number")}
        forms: dict[bytes, str] = {}
        for split, size in zip(("train", "test"), sizes, strict=True):
            parts[split] = {"questions": size}
            path = folder / f"{task}.{split}.jsonl.gz"
            if split == "train" and task in OPEN and not path.exists():
                continue
            texts = [draft.text for draft in read_drafts(path)]
            if len(texts) != size:
                raise UsageError(f"{path}: {len(texts):,} questions, but the paper has {size:,}")
            for text in texts:
                if forms.setdefault(key_of(text), identity(text)) != identity(text):
                    raise UsageError(f"{path}: two questions share a key: make KEY_BYTES larger")
            if split == "test" or task not in OPEN:
                parts[split]["keys"] = encoded(texts)
        tasks[task] = parts
    FILE.write_text(json.dumps({"about": ABOUT, "tasks": tasks}, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
