"""Students' conversations in waves: each wave writes the next turn of every conversation that has one.

A method without roles has one turn: then the one wave is the questions as they are. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.methods import Asking, Method, StudentTurns, Turn
from engine.students.room import Completion

Write = Callable[[Sequence[str | Asking], float | None], list[Completion]]
"""Writes the completions of questions, or the next turns of conversations about them, in order: greedy, or sampled at a
temperature. May raise `Stopped`."""


class Talk:
    """A conversation with a student: `asking` is the turn to write next; None: it has ended."""

    def __init__(self, method: Method, question: str, guidance: str) -> None:
        self._method = method
        self._going: StudentTurns = method.converse(question, guidance)
        self._written: list[Completion] = []
        self._turns: tuple[Turn, ...] = ()
        self.asking: Asking | None = next(self._going)

    def hear(self, completion: Completion) -> None:
        """Takes what the student wrote. A turn that it was not asked, or that the token limit cut, ends the conversation."""
        assert self.asking is not None
        self._written.append(completion)
        if completion.unasked or completion.ended is False:
            cut = " ".join(completion.text.split())
            self._turns = (*self.asking.turns, *([(self.asking.role, cut)] if cut else []))
            self.asking = None
            return
        try:
            self.asking = self._going.send(completion.text)
        except StopIteration as end:
            self._turns, self.asking = end.value, None

    @property
    def completion(self) -> Completion:
        """The conversation, once it has ended, as one text."""
        *before, last = self._written
        return Completion(
            text=self._method.told(self._turns),
            unasked=f"{last.unasked} (with its turns)" if before and last.unasked else last.unasked,
            ended=last.ended,
            prompt_tokens=sum(each.prompt_tokens for each in self._written),
            tokens=sum(each.tokens for each in self._written),
            flops=sum(each.flops for each in self._written),
            turns=len(self._written),
        )


def converse(
    method: Method | None, guidance: str, write: Write, questions: Sequence[str], temperature: float | None
) -> list[Completion]:
    """What a student of a method says to questions, in order."""
    if method is None or not method.roles:
        return write(questions, temperature)
    talks = [Talk(method, question, guidance) for question in questions]
    while due := [(talk, talk.asking) for talk in talks if talk.asking is not None]:
        turns = write([asking for _, asking in due], temperature)
        for (talk, _), each in zip(due, turns, strict=True):
            talk.hear(each)
    return [talk.completion for talk in talks]
