"""The strategy `socratic`: sub-questions and their solutions in lines, then the answer.

Source: Shridhar et al. (2023), Distilling Reasoning Capabilities into Smaller Language Models. One turn; its lines are those
of GSM8K's Socratic files. Where they cannot be read, a second turn asks for the same solution in that form. A sample
that still cannot be read keeps its text as the rationale and is flagged `unread`: methods that need sub-questions leave it
out, others may learn from it.
"""

from __future__ import annotations

from dataclasses import replace

from engine.decomposition import MARK, read_steps, write_steps
from engine.grading.formats import FORMATS
from engine.question import Question
from engine.strategies import zero_shot_cot_chat as chat
from engine.strategies.base import Finished, Settings, Strategy, Turn, Turns, ask, asking
from engine.strategies.templates import Template, fill
from engine.teachers.messages import Completion

UNREAD = "unread"
FORM = (
    f"Write one line for each of them, in order:\nsub-question {MARK} solution\nThen end with one last line of the form\n"
    "Answer: X\nwhere X is {what}, and nothing else."
)
PROMPT = "{question}\n\nDivide this into sub-questions and solve one after the other. " + FORM
REPAIR = (
    "{question}\n\nHere is a solution:\n{rationale}\n\nDivide it into sub-questions, each with its solution. "
    + FORM
)


def _converse(question: Question, settings: Settings) -> Turns:
    """One turn, and another one if its lines cannot be read."""
    wording = settings.wording
    what = chat.phrase(FORMATS[settings.answer_format].phrases)
    prompt = fill(wording.prompt or PROMPT, question=question.text, what=what)
    first = read((yield from ask(prompt, settings, settings.max_tokens)))
    if UNREAD not in first.flags or first.finish_reason not in ("stop", "unknown") or not first.rationale:
        return first
    repair = _repair(question, settings, first.rationale)
    second = read((yield from ask(repair, settings, settings.max_tokens)))
    return first if UNREAD in second.flags else second


def _repair(question: Question, settings: Settings, rationale: str) -> str:
    form = settings.wording.answer_prompt or REPAIR
    what = chat.phrase(FORMATS[settings.answer_format].phrases)
    return fill(form, question=question.text, rationale=rationale, what=what)


def _later(question: Question, settings: Settings) -> tuple[Turn, ...]:
    request = asking(_repair(question, settings, ""), settings, settings.max_tokens)
    return (Turn(request, repeats=settings.max_tokens),)


def read(completion: Completion) -> Finished:
    """The steps in their lines, and the answer. Without steps: the whole text, flagged."""
    finished = chat.read(completion)
    steps = read_steps(finished.rationale)
    if steps is None or "no-answer-line" in finished.flags:
        return replace(finished, flags=(*finished.flags, UNREAD))
    return replace(finished, rationale=write_steps(steps))


STRATEGY = Strategy(
    name="socratic",
    documentation="Sub-questions and their solutions, one a line, then the answer; asked once more where these lines cannot be"
    " read. For the method `socratic`.",
    converse=_converse,
    later=_later,
    templates={
        "prompt": Template(
            text=PROMPT, places=frozenset({"question", "what"}), required=frozenset({"question"})
        ),
        "answer_prompt": Template(
            text=REPAIR,
            places=frozenset({"question", "rationale", "what"}),
            required=frozenset({"rationale"}),
        ),
    },
    phrase=chat.phrase,
)
