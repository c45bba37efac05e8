"""What an answer format is: everything the program asks about it, in one object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.grading.paper import TEXT_RULES, PaperRules
from engine.grading.verdict import Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Phrases:
    """How prompts ask for an answer of this format. `{last}` is the letter of the question's last option."""

    direct: str
    """Draws the answer at once, behind "A:"."""

    after_rationale: str
    """Draws the answer after a rationale."""

    described: str
    """Describes the answer within a sentence: "where X is …"."""


def casefolded(answer: str) -> str:
    """An answer without differences in case and white space."""
    return " ".join(answer.casefold().split())


def any_gold(gold: str, question: str | None) -> str:
    """Every gold answer can be read."""
    return ""


def never(questions: Sequence[tuple[str, str]]) -> float:
    """The accuracy of guessing a free answer."""
    return 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """An answer format: how an answer is asked for, read and compared.

    Each module of `engine.grading.formats` defines one. Nothing outside that module compares its name.
    """

    name: str
    documentation: str
    """What an answer looks like and how it is compared, in one paragraph."""

    judge: Callable[[str, str, str | None], Verdict]
    """The careful grader: completion, gold answer and question to a verdict."""

    stand_in: str = "0"
    """A gold answer that can be read, for texts that are read without one."""

    reads: Callable[[str, str | None], str | None] | None = None
    """The answer in a completion to a question, None if there is none; unset: what `judge` extracts."""

    bad_gold: Callable[[str, str | None], str] = any_gold
    """Why a gold answer to a question cannot be read, such as "not a number"; empty if it can. Needs no completion."""

    phrases: Phrases
    phrases_without_options: Phrases | None = None
    """Used for a question without options, where `phrases` name them."""

    paper: PaperRules = TEXT_RULES
    """The published rules, where there are some; else answers are compared as texts."""

    common_form: Callable[[str], str] = casefolded
    """Equal for extracted answers that are the same; a majority is counted over it."""

    chance: Callable[[Sequence[tuple[str, str]]], float] = never
    """The accuracy (0 to 1) of answering (question, gold) pairs at random."""

    in_worker: bool = False
    """Whether the careful grader may wait for another process, so that an event loop must call it in a thread."""

    truth_values: tuple[str, str] | None = None
    """The gold answers that true and false in a data set stand for; None if a boolean cannot be an answer."""

    def extract(self, completion: str, question: str | None) -> str | None:
        """The answer in a completion, read without the gold answer; None if there is none. Asks no other process."""
        if self.reads is not None:
            return self.reads(completion, question)
        return self.judge(completion, self.stand_in, question).extracted

    @property
    def names_options(self) -> bool:
        """Whether an answer names one of the options that its question lists."""
        return self.phrases_without_options is not None

    def phrases_for(self, has_options: bool) -> Phrases:
        """The phrases for a question with or without options."""
        return self.phrases if has_options else self.phrases_without_options or self.phrases
