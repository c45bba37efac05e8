"""Last letters in words: every wording shows what has been put together so far, in quotation marks."""

from __future__ import annotations

import re

from engine.practice.wordings.teller import Teller
from engine.tasks.builtin import Walk
from engine.tasks.builtin.last_letters import LastLetters

LetterWalk = Walk[str, str]


def _so_we_have(walk: LetterWalk) -> str:
    return " ".join(f'{s.move} ends in {s.after[-1]}, so we have "{s.after}".' for s in walk.steps)


def _last_letter(walk: LetterWalk) -> str:
    return " ".join(f'The last letter of {s.move} is {s.after[-1]}: "{s.after}".' for s in walk.steps)


def _gives(walk: LetterWalk) -> str:
    return " ".join(f'{s.move} gives {s.after[-1]}, which makes "{s.after}".' for s in walk.steps)


def _add(walk: LetterWalk) -> str:
    told = []
    for index, step in enumerate(walk.steps):
        verb = "Add" if index else "Take"
        told.append(f'{verb} the {step.after[-1]} of {step.move} and get "{step.after}".')
    return " ".join(told)


def _after(walk: LetterWalk) -> str:
    return " ".join(f'After {s.move} comes {s.after[-1]}, and the text is "{s.after}".' for s in walk.steps)


def read(problem: LastLetters, text: str) -> str | None:
    """The last thing in quotation marks that is all in lower case."""
    quoted = [part for part in re.findall(r"[\"“]([^\"“”\s]{1,200}?)\.?[\"”]", text) if part.islower()]
    return problem.answer(quoted[-1]) if quoted else None


TELLER = Teller(
    openings=("", "We take the words one by one.", "Let us go through the words and keep the last letters."),
    wordings=(_so_we_have, _last_letter, _gives, _add, _after),
    closings=(
        lambda walk: f'So the letters together are "{walk.end}".',
        lambda walk: f'Put together this is "{walk.end}".',
        lambda walk: f'The last letters make "{walk.end}".',
    ),
    read=read,
)
