"""No text makes a grader slow out of proportion: sixteen times the text costs at most 32 times the work.

Seconds depend on the machine, so work at one length is compared with work at the length before, in processor time, from 25 to 102,400
characters. Quadratic work would be 256 times as much. What is done in less than `NOTHING` is not compared: quadratic work on the
characters that are read at all takes longer. A length that looks too slow is measured again, and so is the one before it, in all
places where the part that is read may begin: one interruption is no failure.
"""

from __future__ import annotations

import time
from random import Random

import pytest

from engine.grading import FORMATS, grade

LENGTHS = [25 * 16**step for step in range(4)]
GROWTH = 32
NOTHING = 0.01
"""Seconds."""
PIECES = (
    "9", "1,", "1 ", "1.", "1/", "1 1/1 ", "1e", "1'", "1\u2009", "1_", "1-", "-", "+1", "1+", "= 1 ", "=", "2^", "5!", "!", "%", "$", "$1.",
    "$a$", "1\n", "(", "[", "{", ")", "}", "((A) ", "(A) ", "A ", "A or ", "A, B ", "a-", "a", "a ", "aA1", ". ", "a. ", "J. ", "U.S. ",
    " ", "\n", "\t", "\r\n", " \n", "\u00a0", "\x00", "\ud800", "😀", "e\u0301", '"', "'", "*", "**", "* ", "_", "`", "```\n", "~", "~~a", "|", "#",
    "# ", "> ", "- a\n", "answer", "answer is ", "Answer: ", "answer to the ", "the answer (", "the answer is not ", "is ", "not ", "no, ",
    "yes or ", "yes", "because ", "Wait, no: ", "or ", "and ", "to 5 ", "between 1 and ", "≤ x ", "[1, ", "x = ", "x", "\\boxed{", "\\frac{",
    "\\frac1", "\\text{", "\\left(", "\\sqrt{", "^{", "\\(", "\\[", "\\", "\\\\", "$$", "&", "\\{1,", "\\pm ", "<think>", "</think>", "<think></think>",
    "<answer>", "</answer>", "<", "<b>", "two hundred and ", "hundred ", "point ", "half ", "three-", "may 1 ", "1/1/", "1-1-", "2021-", "1. May ",
    "5:00 ", "5:", "2 hours ", "3 a, ", "how many a ", "Q: ", "\nQ: a\nA: ", "Question: ", "\nQuestion: a\n", "1. a\n", "Step 1: ", "-->", "####",
    '{"answer": ', "答案是", "答", "。", "：", "（", "الجواب ", "٣", "४", "１,", "½", "十", "да ", "no one ", "it's ", "Both (A) and ",
)  # fmt: skip
"""Each is repeated up to the length; what a pattern can trip over is in one of them or in a mixture."""
PLACES = ("{}", "Answer: {}", "{}\nAnswer: 42", "<think>{}", "\\boxed{{{}}}")
GOLDS = {
    "number": "42", "choice": "B", "yes_no": "yes", "text": "oke", "date": "05/01/2021", "math": "x+1", "interval": "3-5",
}  # fmt: skip


def mixtures(seed: str, count: int) -> list[str]:
    random = Random(seed)
    return ["".join(random.choices(PIECES, k=random.randint(2, 12))) for _ in range(count)]


def work(text: str, answer_format: str, grader: str, as_question: bool) -> float:
    started = time.thread_time()
    grade(text, GOLDS[answer_format], answer_format, question=text if as_question else None, grader=grader)
    return time.thread_time() - started


def too_much(
    piece: str, place: str, answer_format: str, grader: str = "careful", as_question: bool = False
) -> str:
    """Where the work for a text grows too fast; empty if it does not."""
    shorter, before = "", 0.0
    for length in LENGTHS:
        text = place.format((piece * (length // len(piece) + 1))[:length])
        spent = work(text, answer_format, grader, as_question)
        if spent > max(NOTHING, GROWTH * before):  # each time another text, which nothing remembers
            again = [text + " " * times for times in (1, 2, 3)]
            spent = min(spent, *(work(each, answer_format, grader, as_question) for each in again))
            shifted = [shorter[at:] for at in range(1, len(piece) + 1)] if shorter else []
            before = max([before, *(work(each, answer_format, grader, as_question) for each in shifted)])
            if spent > max(NOTHING, GROWTH * before):
                return (
                    f"{answer_format} ({grader}): {piece!r} in {place!r}: {len(text)} characters take {1e3 * spent:.1f} ms, "
                    f"{len(shorter)} take {1e3 * before:.1f} ms"
                )
        shorter, before = text, spent
    return ""


@pytest.mark.parametrize("answer_format", FORMATS)
def test_work_grows_with_the_text(answer_format: str) -> None:
    shift = list(FORMATS).index(answer_format)  # over all formats each text is tried in every place
    pieces = [*PIECES, *mixtures(answer_format, 30)]
    tried = [(piece, PLACES[(at + shift) % len(PLACES)]) for at, piece in enumerate(pieces)]
    if answer_format == "math":  # asks another process, whose work is under a deadline
        tried = tried[::6]
    slow = [told for piece, place in tried if (told := too_much(piece, place, answer_format))]
    print(f"\n{answer_format}: {len(tried)} texts at {len(LENGTHS)} lengths", end="")  # noqa: T201 — for a run with -s
    assert not slow, "\n".join(slow)


@pytest.mark.parametrize("answer_format", ["number", "choice", "yes_no", "text"])
def test_work_of_the_published_rules_grows_with_the_text(answer_format: str) -> None:
    slow = [told for piece in PIECES[::4] if (told := too_much(piece, "{}", answer_format, "paper"))]
    assert not slow, "\n".join(slow)


@pytest.mark.parametrize("answer_format", ["number", "choice"])
def test_work_grows_with_the_question(answer_format: str) -> None:
    slow = [told for piece in PIECES[::2] if (told := too_much(piece, "{}", answer_format, as_question=True))]
    assert not slow, "\n".join(slow)
