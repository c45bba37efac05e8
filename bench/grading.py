"""CPU of the careful grader by format, length and style of text: `python -m bench.grading`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from bench.cli import alone
from bench.tables import Row, Table, ratio
from engine.grading import grade

STYLES = {
    "prose": "We add the first number to the second, which gives a third that we keep in mind for later. ",
    "digits": "Then 12 + 30 = 42 and 42 - 7 = 35, so 35 * 2 = 70 of them remain in the end. ",
    "LaTeX": "We have $\\frac{3}{4} \\cdot x = 12$, hence $x = \\frac{48}{3} = 16$ and $y = 2x$.\n",
    "CJK": "我们先把第一个数加到第二个数上，得到第三个数，然后继续往下算，直到得到结果为止。",
}
QUESTION = "Which one holds the tea? Answer Choices: (A) spoon (B) pot (C) fork (D) knife (E) plate"
ANSWERS = {  # gold, behind a mark, in a last sentence
    "number": ("42", "Answer: 42", "So in all there are 42 of them."),
    "choice": ("B", "Answer: (B) pot", "So I would pick (B)."),
    "yes_no": ("yes", "Answer: Yes", "So yes, it does."),
    "text": ("Paris", "Answer: Paris", 'So this gives "Paris".'),
    "date": ("05/01/2021", "Answer: 05/01/2021", "So it is May 1, 2021."),
    "interval": ("[3, 5]", "Answer: [3, 5]", "So it lies between 3 and 5."),
    "math": ("42", "Answer: $42$", "So $x = 42$."),
}
LENGTHS = {1: 60, 10: 100, 100: 150}
"""Characters in thousands, and the microseconds that are wanted."""
WANTED = ("number", "choice", "yes_no", "text", "date")


def bench(quick: bool) -> Table:
    """Each format, over all styles; the reference parses the JSON of a response with the same text."""
    rows = []
    for name, (gold, marked, said) in ANSWERS.items():
        for thousands, wanted in LENGTHS.items():
            texts = [_text(style, thousands * 1000) for style in STYLES.values()]
            reference = _mean([_parsing(f"{text}\n{marked}") for text in texts], quick)
            kinds = {
                "with a mark": [f"{text}\n{marked}" for text in texts],
                "in the last sentence": [f"{text} {said}" for text in texts],
                "behind a think block": [f"<think>\n{text}\n</think>\n\n{marked}" for text in texts],
            }
            for kind, completions in kinds.items():
                cost = _mean([_grading(each, gold, name) for each in completions], quick)
                rows.append(
                    Row(
                        f"{name}, {thousands} kB, {kind}",
                        f"{cost:.0f} µs",
                        f"{reference:.0f} µs",
                        ratio(cost, reference),
                        f"≤ {wanted} µs" if name in WANTED else "",
                    )
                )
    return Table(
        "Grading",
        "CPU of one verdict, the mean over prose, digits, LaTeX and CJK. The reference is `json.loads` of a response with the same text.",
        rows,
    )


def _text(style: str, length: int) -> str:
    return style * max(1, length // len(style))


def _grading(completion: str, gold: str, answer_format: str) -> Callable[[], object]:
    verdict = grade(completion, gold, answer_format, question=QUESTION)
    if not verdict.correct:  # a figure of another work means nothing
        raise RuntimeError(f"{answer_format}: {completion[-60:]!r}: {verdict.reason}")
    return lambda: grade(completion, gold, answer_format, question=QUESTION)


def _parsing(completion: str) -> Callable[[], object]:
    body = json.dumps(
        {
            "choices": [{"message": {"role": "assistant", "content": completion}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 60, "completion_tokens": 130},
        }
    ).encode()
    return lambda: json.loads(body)


def _mean(works: list[Callable[[], object]], quick: bool) -> float:
    """Microseconds of the works, each the best of several rounds."""
    return sum(_best(work, 3 if quick else 7) for work in works) / len(works)


def _best(work: Callable[[], object], rounds: int, times: int = 20) -> float:
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(times):
            work()
        best = min(best, time.process_time() - started)
    return best / times * 1e6


if __name__ == "__main__":
    alone(bench)
