"""The strategy `student`: the question alone, for a teacher that is a student of this configuration.

Its server puts a message of a user in the form that the student was trained in, so nothing is added to the question. What comes back
is `rationale --> answer`, as the student learned to write it. A text without an arrow is read as that of a chat model.
"""

from __future__ import annotations

import re

from engine.methods.fine_tune_cot import ARROW
from engine.question import Question
from engine.strategies import zero_shot_cot_chat as chat
from engine.strategies.base import Finished, Settings, Strategy, Turns, ask, rationale_flags
from engine.strategies.templates import Template, fill
from engine.teachers.messages import Completion

PROMPT = "{question}"
_END = re.compile(r"\s+END\s*$")
"""The mark at the end of the paper's form, which a server leaves in the text."""


def _converse(question: Question, settings: Settings) -> Turns:
    """One turn: rationale and answer."""
    prompt = fill(settings.wording.prompt or PROMPT, question=question.text)
    return read((yield from ask(prompt, settings, settings.max_tokens)))


def read(completion: Completion) -> Finished:
    """Rationale and answer of what a student wrote."""
    rationale, arrow, answer = _END.sub("", completion.text).partition(ARROW)
    if not arrow:
        return chat.read(completion)
    rationale = rationale.strip()
    return Finished(
        rationale=rationale,
        answer=answer.strip(),
        finish_reason=completion.finish_reason,
        flags=tuple(rationale_flags(completion, rationale)),
    )


STRATEGY = Strategy(
    name="student",
    documentation="The question alone, for a teacher that is a student of this configuration: it writes as it was trained.",
    converse=_converse,
    templates={
        "prompt": Template(text=PROMPT, places=frozenset({"question"}), required=frozenset({"question"})),
    },
)
