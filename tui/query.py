"""What a person types after `/` on the samples screen, as a filter. Pure.

    task:coin_flip teacher:gpt plan:diverse split:test verdict:wrong state:failed flag:truncated words

The first letters of a key are enough (`v:wrong`). Everything else is words of question, rationale and answer: whole
ones, `flip*` for a beginning, `"as it stands"` in quotation marks.
"""

from __future__ import annotations

import re
from typing import Any

from state.views.samples import SampleFilter
from state.views.status_records import Status

KEYS = ("task", "teacher", "plan", "split", "verdict", "state", "flag")
VERDICTS = ("correct", "wrong", "ungraded", "failed", "open")
STATES = ("open", "stored", "failed")
SPLITS = ("train", "dev", "test")

_PARTS = re.compile(r'"[^"]*"?|\S+')

EXAMPLE = 'task:NAME verdict:wrong flag:truncated words flip* "as it stands"'


class QueryError(ValueError):
    """The text is no filter; the message says why."""


def parse(text: str, status: Status, *, faults: bool = False) -> SampleFilter:
    """The filter that `text` means, with the names of `status`.

    Raises:
        QueryError: a key or a name that is not there.
    """
    values: dict[str, Any] = {}
    words: list[str] = []
    for part in _PARTS.findall(text):
        key, colon, value = part.partition(":")
        if part.startswith('"') or not colon or not value or not key.isalpha():
            words.append(part)
            continue
        name = _near(key, KEYS, "key")
        if name == "task":
            values["task_id"] = _id(value, {task.name: task.id for task in status.tasks}, "task")
        elif name == "teacher":
            values["teacher_id"] = _id(value, {item.name: item.id for item in status.teachers}, "teacher")
        elif name == "plan":
            values["plan_id"] = _id(value, {plan.name: plan.id for plan in status.plans}, "plan")
        elif name == "split":
            values["split"] = _near(value, SPLITS, "split")
        elif name == "state":
            values["state"] = _near(value, STATES, "state")
        elif name == "flag":
            values["flag"] = value
        else:
            values |= _verdict(_near(value, VERDICTS, "verdict"))
    return SampleFilter(**values, text=" ".join(words) or None, faults=faults)


def _verdict(word: str) -> dict[str, Any]:
    if word in ("failed", "open"):
        return {"state": word}
    if word == "ungraded":
        return {"ungraded": True}
    return {"verdict": int(word == "correct")}


def _near(given: str, known: tuple[str, ...], what: str) -> str:
    found = [name for name in known if name == given] or [name for name in known if name.startswith(given)]
    if not found:
        raise QueryError(f"no {what} {given!r}; there are: {', '.join(known)}")
    return found[0]


def _id(given: str, known: dict[str, int], what: str) -> int:
    return known[_near(given, tuple(known), what)]
