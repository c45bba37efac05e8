"""Counts the training questions that are held out too, and the CPU time of looking: `python -m bench.overlap FOLDER`.

The folder has files `TASK.train.jsonl.gz` and `TASK.test.jsonl.gz` of rows with a `question`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import time
from collections.abc import Callable
from pathlib import Path

from engine.curation import alike, overlaps, same_questions
from engine.question import Question

SUFFIX = ".train.jsonl.gz"
QUESTIONS = 20_000


def texts(file: Path) -> dict[int, str]:
    """The questions of a file, by line."""
    if not file.exists():
        return {}
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return dict(enumerate(json.loads(line)["question"] for line in lines))


def cpu_s(work: Callable[[], object], tries: int = 3) -> float:
    """The fewest CPU seconds of a few tries."""
    found = []
    for _ in range(tries):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def main() -> None:
    """Prints a table of the tasks, and the time for questions of all of them."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.overlap")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    print("| task | train | test | the same | alike |\n|---|---|---|---|---|")
    everything: list[Question] = []
    for file in sorted(folder.glob(f"*{SUFFIX}")):
        task = file.name.removesuffix(SUFFIX)
        train, test = texts(file), texts(file.with_name(f"{task}.test.jsonl.gz"))
        same, near = same_questions(train, test.values()), alike(train, test)
        print(f"| {task} | {len(train):,} | {len(test):,} | {len(same):,} | {len(near - same):,} |")
        everything += [Question(key="", text=text, answer="", split="train") for text in train.values()]
        everything += [Question(key="", text=text, answer="", split="test") for text in test.values()]
    taken = random.Random(0).sample(everything, min(QUESTIONS, len(everything)))
    train = {key: each.text for key, each in enumerate(taken) if each.split == "train"}
    test = [each.text for each in taken if each.split == "test"]
    print(
        f"\n{len(taken):,} questions, {sum(len(each.text) for each in taken) / len(taken):.0f} characters on average:"
    )
    print(f"  the same questions: {cpu_s(lambda: same_questions(train, test)):.2f} s of CPU")
    print(f"  the report, with 8-grams: {cpu_s(lambda: overlaps({'all': taken}, {'all'})):.2f} s of CPU")


if __name__ == "__main__":
    main()
