"""The strategy `score`: what another plan's teacher wrote, scored by a teacher instead of written by it.

Its plan names the other one in `scores`. One request for each of that plan's samples has the prompt and the sample's text behind it, and
brings the log-probability of each of its tokens (`Request.given`). The sample is that text again, with its verdict; what is new are
the log-probabilities of the teacher that scores.
"""

from __future__ import annotations

from dataclasses import replace

from engine.methods.fine_tune_cot import ARROW
from engine.question import Question, Written
from engine.strategies.base import Finished, Settings, Strategy, Turns, asking
from engine.strategies.templates import Template, fill

PROMPT = "{question}\n"
NOTHING = Written(rationale="", answer="")


def _converse(question: Question, settings: Settings) -> Turns:
    """One turn: the tokens of a text that is there."""
    prompt = fill(settings.wording.prompt or PROMPT, question=question.text)
    written = question.written or NOTHING
    request = asking(prompt, settings, 1)
    yield replace(
        request,
        given=text_of(written),
        temperature=0.0,
        top_p=None,
        stop=(),
        logprobs=max(1, settings.logprobs),
    )
    return Finished(
        rationale=written.rationale,
        answer=written.answer,
        finish_reason=written.finish_reason,
        flags=written.flags,
    )


def text_of(written: Written) -> str:
    """The text that is scored: the rationale, and the answer if that is not all of it."""
    rationale, answer = written.rationale.strip(), written.answer.strip()
    return rationale if answer in ("", rationale) else f"{rationale} {ARROW} {answer}"


STRATEGY = Strategy(
    name="score",
    documentation="Scores the samples of another plan (`scores`) instead of writing some: each is stored again with the log-probabilities of its tokens.",
    converse=_converse,
    templates={
        "prompt": Template(text=PROMPT, places=frozenset({"question"}), required=frozenset({"question"})),
    },
    scores=True,
)
