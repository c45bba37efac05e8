"""The strategy `brainstorm`: several teachers answer, read each other's reasoning, and think again.

Source: Yang et al. (2024), arXiv 2406.06561. The first turn is that of zero-shot-cot-chat. Then each member of the panel hears
the others. If all answers are the same, it ends with the flag `consensus`. Else it is asked again, with its own last answer and
the reasoning of each other member, of which the end is kept. After the last round it ends with `no-consensus`. A
member that nobody else is left to hear ends with `alone`.
"""

from __future__ import annotations

from dataclasses import replace

from engine.grading.formats import FORMATS
from engine.grading.majority import common_form
from engine.question import Question
from engine.strategies import zero_shot_cot_chat as chat
from engine.strategies.base import (
    Finished,
    Panel,
    Settings,
    Strategy,
    Turn,
    Turns,
    ask,
    asking,
    hear,
    said_in,
)
from engine.strategies.templates import Template, fill
from engine.teachers.messages import Completion

CONSENSUS, NO_CONSENSUS, ALONE = "consensus", "no-consensus", "alone"
AGAIN = (
    "{question}\n\nYour last answer:\n{rationale}\n\nOthers were asked the same question. Their solutions:\n\n{peers}\n\nSolutions"
    " can be wrong, yours too. Compare them, and think again step by step. Then end with one last line of the form\nAnswer: X\n"
    "where X is {what}, and nothing else."
)
HEADING = "Solution {number}:\n{text}"
BETWEEN = "\n\n"
CUT = "…"
"""Stands for the beginning of a text whose end is kept."""
SOLO = Panel(member=0, members=1, rounds=1, peer_characters=1)


def _converse(question: Question, settings: Settings) -> Turns:
    """One turn a round; between them the panel is heard."""
    panel = settings.panel or SOLO
    what = chat.phrase(FORMATS[settings.answer_format].phrases)
    prompt = fill(settings.wording.prompt or chat.PROMPT, question=question.text, what=what)
    for turn in range(panel.rounds):
        own = yield from ask(prompt, settings, settings.max_tokens)
        replies = yield from hear(turn)
        others = [completion for member, completion in replies if member != panel.member]
        if not others:
            return _ended(own, ALONE)
        if _agree([own, *others], question, settings.answer_format):
            return _ended(own, CONSENSUS)
        prompt = _again(question, settings, said_in(own)[0].strip(), _texts(others, panel))
    return _ended(own, NO_CONSENSUS)


def _ended(own: Completion, flag: str) -> Finished:
    finished = chat.read(own)
    return replace(finished, flags=(*finished.flags, flag))


def answer_of(completion: Completion, question: str, answer_format: str) -> str | None:
    """The answer in a member's reply, as the careful grader extracts it; None if there is none."""
    answer = chat.read(completion).answer
    return FORMATS[answer_format].extract(answer, question) if answer else None


def _agree(replies: list[Completion], question: Question, answer_format: str) -> bool:
    """Whether every reply has an answer, and all of them the same one."""
    answers = [answer_of(each, question.text, answer_format) for each in replies]
    return None not in answers and len({common_form(each or "", answer_format) for each in answers}) == 1


def _texts(others: list[Completion], panel: Panel) -> list[str]:
    return [_end_of(said_in(each)[0].strip(), panel.peer_characters) for each in others]


def _end_of(text: str, most: int) -> str:
    """The last `most` characters of a text, with a mark where something is missing."""
    return text if len(text) <= most else CUT + text[len(text) - most + len(CUT) :]


def _again(question: Question, settings: Settings, own: str, peers: list[str]) -> str:
    told = [fill(HEADING, number=str(number), text=text) for number, text in enumerate(peers, start=1)]
    return fill(
        settings.wording.answer_prompt or AGAIN,
        question=question.text,
        rationale=own,
        peers=BETWEEN.join(told),
        what=chat.phrase(FORMATS[settings.answer_format].phrases),
    )


def _later(question: Question, settings: Settings) -> tuple[Turn, ...]:
    panel = settings.panel or SOLO
    others = panel.members - 1
    request = asking(_again(question, settings, "", [""] * others), settings, settings.max_tokens)
    most = Turn(request, repeats=settings.max_tokens, quotes=others * panel.peer_characters)
    return (most,) * (panel.rounds - 1)


STRATEGY = Strategy(
    name="brainstorm",
    documentation="A panel: all teachers of the plan answer, then read each other's reasoning and think again, for at most `rounds`"
    " answers each; it ends when all agree.",
    converse=_converse,
    later=_later,
    templates={
        "prompt": Template(
            text=chat.PROMPT, places=frozenset({"question", "what"}), required=frozenset({"question"})
        ),
        "answer_prompt": Template(
            text=AGAIN,
            places=frozenset({"question", "rationale", "peers", "what"}),
            required=frozenset({"question", "peers"}),
        ),
    },
    phrase=chat.phrase,
    answer_in=answer_of,
    panel=True,
)
