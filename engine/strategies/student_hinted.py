"""The strategy `student-hinted`: a student is asked with the gold answer as a hint, for questions that it keeps failing.

Source: Zelikman et al. (2022), STaR. The hint follows the question, and the student answers in the form that it was trained in. Every
sample is flagged `hinted`: a student reads it only if its curation says so.
"""

from __future__ import annotations

from dataclasses import replace

from engine.question import Question
from engine.strategies.base import Settings, Strategy, Turns, ask
from engine.strategies.rationalize import HINTED
from engine.strategies.student import read
from engine.strategies.templates import Template, fill

PROMPT = "{question} (Hint: the answer is {answer}.)"


def _converse(question: Question, settings: Settings) -> Turns:
    """One turn: a rationale that leads to the gold answer, if the student finds one."""
    prompt = fill(settings.wording.prompt or PROMPT, question=question.text, answer=question.answer)
    finished = read((yield from ask(prompt, settings, settings.max_tokens)))
    return replace(finished, flags=(*finished.flags, HINTED))


STRATEGY = Strategy(
    name="student-hinted",
    documentation="Gives a student the gold answer as a hint. For the questions that it failed in another plan (`needs`).",
    converse=_converse,
    templates={
        "prompt": Template(
            text=PROMPT,
            places=frozenset({"question", "answer"}),
            required=frozenset({"question", "answer"}),
        ),
    },
    hinted=True,
)
