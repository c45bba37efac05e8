"""Last letters (Wei et al. 2022): take the last letter of each word and put them together. Answer: text."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from engine.config.tasks import AnswerFormat
from engine.tasks.builtin.interface import BuiltinTask, Draft, Found, Problem, last_match, walk
from engine.tasks.builtin.names import NAMES
from engine.tasks.builtin.options import Option, Value, number

_QUESTION = re.compile(
    r"Take the last letters of (?:each|the) words in \"([^\"\n]{1,2000})\" and concatenate them\."
)


@dataclass(frozen=True)
class LastLetters(Problem[str, str]):
    """A move is a word, the state is what has been put together so far."""

    moves: tuple[str, ...]
    start: str = ""

    def apply(self, state: str, move: str) -> str:
        """One letter more, in lower case."""
        return state + move[-1].lower()

    def slip(self, state: str, move: str, rng: random.Random) -> str:
        """Another letter of the word, or one beside it in the alphabet."""
        right = move[-1].lower()
        wrong = sorted({letter for letter in move.lower() if letter != right and letter.isalpha()})
        if not wrong:
            wrong = [letter for letter in string.ascii_lowercase if letter != right]
        return state + rng.choice(wrong)

    def answer(self, state: str) -> str:
        """The letters."""
        return state


class LastLettersTask(BuiltinTask):
    """Last letters of so many names."""

    name: ClassVar[str] = "last_letter_concatenation"
    options: ClassVar[Mapping[str, Option]] = {
        "words_min": Option(4, "fewest words in a question", 1, 24),
        "words_max": Option(4, "most words in a question", 1, 24),
    }
    span: ClassVar[str | None] = "words"

    def formats(self, options: Mapping[str, Value]) -> tuple[AnswerFormat, ...]:
        """Text."""
        return ("text",)

    def draw(self, rng: random.Random, options: Mapping[str, Value]) -> Draft:
        """Different names."""
        count = rng.randint(number(options, "words_min"), number(options, "words_max"))
        words = tuple(rng.sample(NAMES, count))
        text = f'Take the last letters of each words in "{" ".join(words)}" and concatenate them.'
        return Draft(text, walk(LastLetters(words)).answer)

    def find(self, text: str) -> Found | None:
        """The last such question."""
        last = last_match(_QUESTION, text)
        if last is None or not last[1].split():
            return None
        return Found(LastLetters(tuple(last[1].split())), last.start(), last.end())
