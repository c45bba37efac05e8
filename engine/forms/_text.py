"""Forms that are a text around the question and a text around the target: what `paper` and `plain` share."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.forms._literal import LiteralEncoder
from engine.forms.base import Conversation, Outline, TokenForm, check_turns
from engine.methods.base import Method, TrainRow


@dataclass(frozen=True, slots=True)
class Marks:
    """The texts before and after a question, and before and after a target; `end` ends the completion."""

    before: str = ""
    after: str = ""
    lead: str = ""
    trail: str = ""
    end: str = ""

    def prompt(self, question: str) -> str:
        """The text that a student continues or answers."""
        return f"{self.before}{question.strip()}{self.after}"

    def completion(self, target: str) -> str:
        """The text that a student learns to write after the prompt."""
        return f"{self.lead}{target}{self.trail}{self.end}"


@dataclass(frozen=True)
class TextOutline(Outline):
    """Marks for one method. `stops`: whether a token ends what the student writes; else the first `end` does."""

    marks: Marks
    method: Method
    stops: bool = True

    @property
    def no_answer(self) -> str:  # type: ignore[override]
        """What the method says."""
        return self.method.no_answer

    def asked(self, question: str) -> str:
        """The question between its marks."""
        return self.marks.prompt(question)

    def written(self, row: TrainRow) -> str:
        """The method's target between its marks."""
        return self.marks.completion(self.method.target(row))

    def parse(self, text: str) -> str | None:
        """What the method reads in the body."""
        return self.method.parse(self.body(text))

    def body(self, text: str) -> str:
        """What is before the last end mark: a rationale or an answer may contain the mark too."""
        marks = self.marks
        if word := marks.end.strip():
            space = r"\s+" if marks.end[0].isspace() else ""
            found = [*re.finditer(rf"{space}{re.escape(word)}(?!\w)", text)]
            if found:
                text = text[: found[-1 if self.stops else 0].start()]
        text = text.strip().removeprefix(marks.lead.strip())
        return text.removesuffix(marks.trail.strip()) if marks.trail.strip() else text

    def example(self, row: TrainRow) -> dict[str, Any]:
        """Prompt and completion, as texts."""
        return {"prompt": self.marks.prompt(row.question), "completion": self.written(row)}


class TextForm(TokenForm):
    """Marks with a tokenizer, whose own special tokens are added to the prompt. Its end token closes a completion."""

    def __init__(
        self, marks: Marks, method: Method, tokenizer: Any, *, encoder_decoder: bool, known: bool = False
    ) -> None:
        end = tokenizer.eos_token_id
        check_turns(method, encoder_decoder=encoder_decoder, ends=end is not None)
        self.marks = marks
        self.method = method
        self.outline = TextOutline(marks, method, stops=end is not None)
        self.ends = () if end is None else (end,)
        self.end_text = marks.end
        self.markers = method.markers
        self.shown = marks.prompt("{question}")
        self.writes = marks.completion(method.writes)
        self._tokenizer = tokenizer
        self._encoder = LiteralEncoder(tokenizer)
        self._known = known  # to an untrained base, since the user says so
        self._closed = encoder_decoder  # an encoder reads a closed text

    @property
    def template(self) -> str:  # type: ignore[override]
        """A template that writes the prompt, with the special tokens that the tokenizer adds to it."""
        marks, text = self.marks, "question"
        [bare] = self._encoder.encode([marks.prompt(text)], add_special_tokens=False)
        [ids] = self.prompt_ids([text])
        at = next((at for at in range(len(ids)) if ids[at : at + len(bare)] == bare), 0)
        first, last = (
            "".join(self._tokenizer.convert_ids_to_tokens(each)) for each in (ids[:at], ids[at + len(bare) :])
        )
        end = self._tokenizer.eos_token or ""
        before, after, lead, close = (
            json.dumps(each, ensure_ascii=False)
            for each in (marks.before, marks.after + last, marks.lead, marks.trail + marks.end + end)
        )
        return (
            f"{{{{- {json.dumps(first)} -}}}}"
            "{%- set said = namespace(system='') -%}{%- for message in messages -%}"
            "{%- set text = message['content'] if message['content'] is string else"
            " message['content'] | map(attribute='text') | join -%}"
            "{%- if message['role'] == 'system' -%}{%- set said.system = text | trim + '\\n\\n' -%}"
            f"{{%- elif message['role'] == 'assistant' -%}}{{{{- {lead} + text | trim + {close} -}}}}"
            f"{{%- else -%}}{{{{- {before} + said.system + text | trim + {after} -}}}}"
            "{%- set said.system = '' -%}{%- endif -%}{%- endfor -%}"
        )

    def prompt_ids(self, questions: Sequence[str]) -> list[list[int]]:
        """With the special tokens of the tokenizer, but without an end token where a prompt is continued."""
        return self._open([self.marks.prompt(self._encoder.hide(question)) for question in questions])

    def conversation_ids(self, conversations: Sequence[Conversation]) -> list[list[int]]:
        """The messages as one text, in the user's own template if there is one."""
        talks = ["\n\n".join(each["content"] for each in talk) for talk in conversations]
        hidden = map(self._encoder.hide, talks)
        return self._open([self.marks.prompt(talk) if self._known else talk for talk in hidden])

    def _open(self, texts: Sequence[str]) -> list[list[int]]:
        found = self._encoder.encode(texts, add_special_tokens=True)
        for ids in () if self._closed else found:
            while ids and ids[-1] in self.ends:
                ids.pop()
        return found

    def row_ids(self, rows: Sequence[TrainRow]) -> list[tuple[list[int], list[int]]]:
        """A completion is encoded by itself and closed by the end token, if there is one."""
        questions = list(dict.fromkeys(row.question for row in rows))  # a question has several rationales
        prompts = dict(zip(questions, self.prompt_ids(questions), strict=True))
        texts = [self.marks.completion(self._encoder.hide(self.method.target(row))) for row in rows]
        completions = self._encoder.encode(texts, add_special_tokens=False)
        return [
            (prompts[row.question], [*ids, *self.ends]) for row, ids in zip(rows, completions, strict=True)
        ]

    def turn_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Without special tokens."""
        return self._encoder.encode([self._encoder.hide(each) for each in texts], add_special_tokens=False)

    @property
    def closing(self) -> list[int]:
        """The end token of the tokenizer."""
        return list(self.ends)

    def decode(self, ids: Sequence[int]) -> str:
        """Without special tokens."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text
