"""The strategy `rationalize`: the gold answer as a hint, for questions that the teacher keeps failing.

Source: Zelikman et al. (2022), STaR. One turn in the form of zero-shot-cot-chat. Every sample is flagged `hinted`: a
rationale made to fit a known answer may argue backwards, so a student reads it only if its curation says so.
"""

from __future__ import annotations

from dataclasses import replace

from engine.grading.formats import FORMATS
from engine.question import Question
from engine.strategies import zero_shot_cot_chat as chat
from engine.strategies.base import Settings, Strategy, Turns, ask
from engine.strategies.templates import Template, fill

HINTED = "hinted"
PROMPT = (
    "{question}\n\n(Hint: the correct answer is {answer}.)\n\nThink step by step, as if you did not know the hint, and do"
    " not mention it. Then end with one last line of the form\nAnswer: X\nwhere X is {what}, and nothing else."
)


def _converse(question: Question, settings: Settings) -> Turns:
    """One turn: a rationale that leads to the gold answer, if the teacher finds one."""
    prompt = fill(
        settings.wording.prompt or PROMPT,
        question=question.text,
        answer=question.answer,
        what=chat.phrase(FORMATS[settings.answer_format].phrases),
    )
    completion = yield from ask(prompt, settings, settings.max_tokens)
    finished = chat.read(completion)
    return replace(finished, flags=(*finished.flags, HINTED))


STRATEGY = Strategy(
    name="rationalize",
    documentation="Gives the gold answer as a hint. For the questions that another plan (`needs`) failed.",
    converse=_converse,
    templates={
        "prompt": Template(
            text=PROMPT,
            places=frozenset({"question", "answer", "what"}),
            required=frozenset({"question", "answer"}),
        ),
    },
    phrase=chat.phrase,
    hinted=True,
)
