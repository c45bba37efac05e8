"""A form with a text that was searched for before each question: what `make = "prompt"` makes of a student's form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from engine.forms.base import Conversation, Outline, TokenForm
from engine.methods.base import TrainRow

PLACE = "{question}"


class PromptedOutline(Outline):
    """An outline whose questions stand behind a text."""

    def __init__(self, inner: Outline, text: str) -> None:
        self._inner, self._text = inner, text
        self.no_answer = inner.no_answer
        self.notes = inner.notes

    def asked(self, question: str) -> str:
        """The text before what a student writes, with the prompt in it."""
        return self._inner.asked(behind(self._text, question))

    def written(self, row: TrainRow) -> str:
        """As without the prompt."""
        return self._inner.written(row)

    def parse(self, text: str) -> str | None:
        """As without the prompt."""
        return self._inner.parse(text)

    def body(self, text: str) -> str:
        """As without the prompt."""
        return self._inner.body(text)

    def example(self, row: TrainRow) -> dict[str, Any]:
        """A row whose question stands behind the prompt."""
        return self._inner.example(_row(self._text, row))


class PromptedForm(TokenForm):
    """A form whose questions stand behind a text."""

    def __init__(self, inner: TokenForm, text: str) -> None:
        self._inner, self._text = inner, text
        self.outline = PromptedOutline(inner.outline, text)
        self.method = inner.method
        self.ends, self.end_text = inner.ends, inner.end_text
        self.markers, self.writes = inner.markers, inner.writes
        self.special_marks = inner.special_marks
        self.shown = inner.shown.replace(PLACE, behind(text, PLACE))
        self.template = _prelude(text) + inner.template

    def prompt_ids(self, questions: Sequence[str]) -> list[list[int]]:
        """With the prompt before each question."""
        return self._inner.prompt_ids([behind(self._text, question) for question in questions])

    def conversation_ids(self, conversations: Sequence[Conversation]) -> list[list[int]]:
        """As without the prompt: an untrained base has none."""
        return self._inner.conversation_ids(conversations)

    def row_ids(self, rows: Sequence[TrainRow]) -> list[tuple[list[int], list[int]]]:
        """With the prompt before each question."""
        return self._inner.row_ids([_row(self._text, row) for row in rows])

    def turn_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """As without the prompt."""
        return self._inner.turn_ids(texts)

    @property
    def closing(self) -> list[int]:
        """As without the prompt."""
        return self._inner.closing

    def decode(self, ids: Sequence[int]) -> str:
        """As without the prompt."""
        return self._inner.decode(ids)


def behind(text: str, question: str) -> str:
    """A question behind a prompt."""
    return f"{text} {question.strip()}"


def _row(text: str, row: TrainRow) -> TrainRow:
    return row.model_copy(update={"question": behind(text, row.question)})


def _prelude(text: str) -> str:
    """What a chat template begins with, so that it puts the prompt before what users say."""
    return (
        "{%- set prompted = namespace(said=[]) -%}{%- for message in messages -%}{%- if message['role'] == 'user' -%}"
        "{%- set text = message['content'] if message['content'] is string else"
        " message['content'] | map(attribute='text') | join -%}"
        f"{{%- set prompted.said = prompted.said + [{{'role': 'user', 'content': {json.dumps(text + ' ', ensure_ascii=False)} + text | trim}}] -%}}"
        "{%- else -%}{%- set prompted.said = prompted.said + [message] -%}{%- endif -%}{%- endfor -%}"
        "{%- set messages = prompted.said -%}"
    )
