"""What a form of students is: the text around question, rationale and answer, the tokens of it, and how it is read back.

Everything that differs between forms is a field or function of `Form`. An `Outline` is a form without a tokenizer: what
`coterie check` and `coterie export` need. A `TokenForm` has a tokenizer and belongs to the training process. Modules of
this folder do not import `engine.config`, which imports them, and use torch and transformers only through the tokenizer
that they are given.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

from engine.errors import JobFailed
from engine.methods.base import Asking, Method, TrainRow, Turn

Note = Callable[[str], None]
"""Is told what a form does about a peculiarity of a base."""


Conversation = Sequence[Mapping[str, str]]
"""Messages: `role` (user, assistant) and `content` of each. The last one is a user's."""


class RowIds(NamedTuple):
    """The tokens of a row. `learned`: of the completion, which tokens are; None: all of them."""

    prompt: list[int]
    completion: list[int]
    learned: list[bool] | None = None


class FormSettings(BaseModel):
    """A table `[students.form]`. A subclass has a `type`, the name of its form."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    type: str
    """The name of the form."""

    def identity(self) -> dict[str, Any]:
        """What is part of a run's fingerprint: the type, and settings that are not at their defaults."""
        return {**self.model_dump(mode="json", exclude_defaults=True), "type": self.type}


def check_turns(method: Method, *, encoder_decoder: bool, ends: bool) -> None:
    """Checks that a base can write the turns of a method.

    Args:
        method: of the student.
        encoder_decoder: whether the base is one.
        ends: whether its tokenizer has an end token.

    Raises:
        JobFailed: it cannot.
    """
    if not method.roles:
        return
    if encoder_decoder:
        raise JobFailed(
            f"the method {method.name} writes turns after one another, which decoders can, and this base is an"
            " encoder-decoder: choose a decoder"
        )
    if not ends:
        raise JobFailed(
            f"the method {method.name} ends each turn with the tokenizer's end token, and the tokenizer of the base has"
            " none: choose another base"
        )


S = TypeVar("S", bound=FormSettings)


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseFacts:
    """What an outline needs to know of a base.

    `template` is the source of its chat template, None where it has none, and `specials` are the names of special tokens
    in it (`bos_token` and others) with their texts.
    """

    encoder_decoder: bool = False
    template: str | None = None
    specials: Mapping[str, str] | None = None


class Outline(ABC):
    """A form for one method and base, without a tokenizer."""

    no_answer: str
    """Why a completion counts as wrong when `parse` finds no answer."""
    notes: tuple[str, ...] = ()
    """What it does about peculiarities of the base."""

    @abstractmethod
    def asked(self, question: str) -> str:
        """The text before what a student writes."""

    @abstractmethod
    def written(self, row: TrainRow) -> str:
        """The text that a student writes for a row, up to the end token."""

    @abstractmethod
    def parse(self, text: str) -> str | None:
        """The answer in a written text; None if there is none. The inverse of `written`."""

    def body(self, text: str) -> str:
        """What a student wrote, without the marks of the form around it."""
        return text.strip()

    @abstractmethod
    def example(self, row: TrainRow) -> dict[str, Any]:
        """A row as trainers read it, such as TRL: `messages`, or `prompt` and `completion`."""


class TokenForm(ABC):
    """A form with its tokenizer."""

    outline: Outline
    method: Method
    """Of the student."""
    ends: tuple[int, ...]
    """Tokens that end a completion; generation stops at each."""
    end_text: str
    """Text that ends a completion before the end token; empty: the token alone does."""
    markers: tuple[str, ...]
    """Texts that the student must be able to write exactly, because its answer is found by them."""
    template: str
    """The chat template of the exported tokenizer. For one message of a user, it writes the prompt that was trained."""
    shown: str
    """The prompt of "{question}", for the card."""
    writes: str
    """What a student writes after it, for the card."""
    special_marks: bool = False
    """Whether the answer is found by a special token, which servers leave out unless they are asked for it."""

    @property
    def no_answer(self) -> str:
        """Why a completion counts as wrong when `parse` finds no answer."""
        return self.outline.no_answer

    def parse(self, text: str) -> str | None:
        """The answer in a generated text; None if there is none."""
        return self.outline.parse(text)

    def body(self, text: str) -> str:
        """A generated text without the marks of the form around it."""
        return self.outline.body(text)

    @abstractmethod
    def prompt_ids(self, questions: Sequence[str]) -> list[list[int]]:
        """The tokens before a completion, of each question."""

    @abstractmethod
    def conversation_ids(self, conversations: Sequence[Conversation]) -> list[list[int]]:
        """The tokens that an untrained base continues, of each conversation: without marks that only training teaches."""

    @abstractmethod
    def row_ids(self, rows: Sequence[TrainRow]) -> list[tuple[list[int], list[int]]]:
        """The tokens of prompt and completion of each row. A prompt is that of `prompt_ids`."""

    @abstractmethod
    def turn_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of texts within what a student writes, each by itself."""

    @property
    @abstractmethod
    def closing(self) -> list[int]:
        """The tokens that end a turn."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated tokens, up to the token that ends it."""

    def rows(self, rows: Sequence[TrainRow]) -> list[RowIds]:
        """The tokens of rows of any kind, in order: of those with turns, the turns of their part are learned."""
        whole = iter(self.row_ids([row for row in rows if not row.turns]))
        talks = [row for row in rows if row.turns]
        questions = list(dict.fromkeys(row.question for row in talks))
        prompts = dict(zip(questions, self.prompt_ids(questions), strict=True))
        ids_of = self._turns({turn for row in talks for turn in row.turns})
        found = []
        for row in rows:
            if not row.turns:
                found.append(RowIds(*next(whole)))
                continue
            ids: list[int] = []
            learned: list[bool] = []
            own = self.method.roles_of(row.part)
            for turn in row.turns:
                mark, said = ids_of[turn]
                ids += [*mark, *said]
                learned += [*([False] * len(mark)), *([turn[0] in own] * len(said))]
            found.append(RowIds(prompts[row.question], ids, learned))
        return found

    def asked_ids(self, asked: Sequence[str | Asking]) -> list[list[int]]:
        """What the student continues: prompts of questions, or what stands before a turn of a conversation."""
        texts = [each if isinstance(each, str) else each.question for each in asked]
        prompts = self.prompt_ids(texts)
        turns = {
            turn for each in asked if isinstance(each, Asking) for turn in (*each.turns, (each.role, ""))
        }
        ids_of = self._turns(turns)
        for each, ids in zip(asked, prompts, strict=True):
            if isinstance(each, Asking):
                for turn in each.turns:
                    ids += [*ids_of[turn][0], *ids_of[turn][1]]
                ids += ids_of[each.role, ""][0]
        return prompts

    def _turns(self, turns: Iterable[Turn]) -> dict[Turn, tuple[list[int], list[int]]]:
        """The tokens of the mark of each turn, and of what is written after it, with its end."""
        known = sorted(turns)
        marks = self.turn_ids([f" {self.method.roles[role]}" for role, _ in known])
        texts = self.turn_ids([f" {text}" for _, text in known])
        return {
            turn: (mark, [*text, *self.closing]) for turn, mark, text in zip(known, marks, texts, strict=True)
        }


@dataclass(frozen=True, kw_only=True)
class Form(ABC, Generic[S]):
    """A form of students."""

    name: str
    doc: str
    """What it is, in a sentence; part of docs/configuration.md."""
    settings: type[S]
    rank: int
    """Its place where a default is looked for, and in lists."""
    builtin: bool
    """Whether built-in students can have it."""
    first_release: ClassVar[bool] = False
    """Whether students had it before there were others, so that fingerprints do not count it."""

    @property
    def documentation(self) -> str:
        """One paragraph."""
        return self.doc

    @abstractmethod
    def suits(self, *, template: bool, encoder_decoder: bool) -> bool:
        """Whether it is the default of such a base, unless a form of a lower rank is."""

    @abstractmethod
    def outline(self, settings: S, method: Method, base: BaseFacts) -> Outline:
        """The form without a tokenizer.

        Raises:
            JobFailed: the base does not have what the form needs.
        """

    @abstractmethod
    def open(
        self, settings: S, method: Method, tokenizer: Any, *, encoder_decoder: bool, note: Note
    ) -> TokenForm:
        """The form with a tokenizer.

        Raises:
            JobFailed: the tokenizer does not have what the form needs.
        """
