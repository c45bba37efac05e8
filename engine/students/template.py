"""What a student reads and writes: the paper's text format. Pure; knows no tokenizer.

    prompt       {question} ###
    completion    {rationale} --> {answer} END        (fine-tune-cot)
                  {answer} END                        (fine-tune)

Source: Ho et al. 2023, appendix on the format of fine-tuning data. The paper's public code trains one wording
of the last sentence and looks for another; here both sides are in this module.
"""

from __future__ import annotations

import re

ARROW = "-->"
END = "END"
_END = re.compile(rf"\s+{END}\b")


def prompt(question: str) -> str:
    """The text a student continues."""
    return f"{question.strip()} ###"


def completion(rationale: str | None, answer: str) -> str:
    """The text a student learns to write; without a rationale, the answer alone."""
    if rationale is None:
        return f" {answer.strip()} {END}"
    # An arrow inside a rationale would end it too early when the answer is read back.
    return f" {rationale.strip().replace(ARROW, '->')} {ARROW} {answer.strip()} {END}"


def parse(text: str, *, rationale: bool) -> str | None:
    """The answer part of a generated completion, or None where there is none.

    With `rationale` the answer stands after the arrow; a text that never comes to the arrow (cut off,
    or rambling) has no answer, however many numbers are in it. Nothing after END counts.
    """
    if rationale:
        _, arrow, text = text.partition(ARROW)
        if not arrow:
            return None
    answer = _END.split(text, maxsplit=1)[0].strip()
    return answer or None
