"""Reads a cell that holds a gold answer in one of the shapes that data sets use, or says what to write.

    true, false                the words of the answer format, if it has such words; for such a format also 1 and 0
    [70]                       its one element; several accepted answers are refused, with the line that takes the first
    "He has … #### 72"         72; what is before the mark is the rationale (GSM8K as published)
    [{"role": "user", …}, …]   a chat: the last user message is the question, the answer to it the gold answer

`Refuse` raises the message that it is given, with file and line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NoReturn

from engine.config.faults import quoted
from engine.config.tasks import AnswerFormat
from engine.grading.formats import FORMATS
from engine.tasks.row_files import Number, kind_of, plain

Refuse = Callable[[str], NoReturn]

MARK = "####"

UNREADABLE = "(unreadable)"
"""The column in which a mapped row says why no answer was found in it; no data set has a column of this name."""

_ASKS, _ANSWERS = ("user", "human"), ("assistant", "gpt")


def single(value: Any, name: str, answer_format: AnswerFormat, refuse: Refuse) -> Any:
    """A boolean (or its 1 and 0) as the format's word, a list of one as its element; other texts and numbers as they are.

    Args:
        value: the cell.
        name: of its column, as `fields` names it.
        answer_format: the task's.
        refuse: raises what cannot be read.
    """
    if isinstance(value, list) and len(value) == 1:  # the solutions of an equation
        value = plain(value[0])
    if isinstance(value, str) and value.strip() in ("0", "1") and FORMATS[answer_format].truth_values:
        value = value.strip() == "1"  # nobody answers "1", and a student would learn to
    if isinstance(value, bool):
        return _word(value, name, answer_format, refuse)
    if isinstance(value, list) and value:
        refuse(
            f"{name}: {len(value)} accepted answers, and a question has one gold answer;"
            f' `answer = "{name}.0"` in [tasks.NAME.fields] takes the first'
        )
    if isinstance(value, Mapping) and value:
        keys = [str(key)[:40] for key in value]
        refuse(
            f"{name}: {kind_of(value)} with {', '.join(keys[:8])}; name one of them in [tasks.NAME.fields],"
            f' such as `answer = "{name}.{keys[0]}"`'
        )
    return value


def _word(value: bool, name: str, answer_format: AnswerFormat, refuse: Refuse) -> str:
    values = FORMATS[answer_format].truth_values
    if values is None:
        fitting = " or ".join(
            f"`answer = {quoted(each)}`" for each, form in FORMATS.items() if form.truth_values
        )
        refuse(
            f"{name}: true or false, but the task has `answer = {quoted(answer_format)}`; expected {fitting}"
        )
    return values[0] if value else values[1]


def published(answer: Any) -> tuple[Any, str | None]:
    """The answer behind the last "####" and the rationale before it; an answer without the mark, and None.

    Behind the mark there is one line: a text with headings of four signs is left alone.
    """
    if not isinstance(answer, str) or isinstance(answer, Number):
        return answer, None
    before, mark, behind = answer.rpartition(MARK)
    final = behind.strip()
    if not mark or not final or "\n" in final or before.endswith("#"):
        return answer, None
    return final, before.strip() or None


def is_chat(value: Any) -> bool:
    """Whether a cell is a list of messages."""
    return isinstance(value, list) and bool(value) and all(_said(each) is not None for each in value)


def asked_and_answered(messages: list[Any], name: str, refuse: Refuse) -> tuple[str, str]:
    """The last user message that is answered, and the answer."""
    said = [message for each in messages if (message := _said(each)) is not None]
    for (asks, question), (answers, answer) in reversed(list(pairwise(said))):
        if asks in _ASKS and answers in _ANSWERS:
            return question, answer
    refuse(
        f"{name}: expected a user message followed by an assistant message (roles: {', '.join(role for role, _ in said)[:80]})"
    )


def _said(message: Any) -> tuple[str, str] | None:
    """Role and text of a message; None if it is none. Both usual forms: role and content, from and value."""
    if not isinstance(message, Mapping):
        return None
    role = message.get("role") or message.get("from")
    content = message.get("content", message.get("value"))
    if isinstance(content, list) and all(
        isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in content
    ):
        content = "".join(part["text"] for part in content)
    return (role, content) if isinstance(role, str) and isinstance(content, str) else None
