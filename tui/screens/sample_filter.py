"""The filter language of the samples screen, typed after `/`. Pure.

    task:coin_flip teacher:gpt plan:diverse split:test verdict:wrong state:failed flag:truncated words
    question:train-12 question:"two bolts of fibre" is:unsolved is:noted

`question:` is a question's id in your data, or else a part of its text. The first letters of a key are enough (`v:wrong`). Anything else is searched for in question, rationale and answer: whole
words, `flip*` for a prefix, `"exact phrase"` in quotation marks.
"""

from __future__ import annotations

import re
from typing import Any

from state.views.samples import SampleFilter
from state.views.status_records import Status

KEYS = ("task", "teacher", "plan", "split", "verdict", "state", "flag", "question", "is")
VERDICTS = ("correct", "wrong", "answered", "unread", "ungraded", "failed", "open")
STATES = ("open", "stored", "failed")
SPLITS = ("train", "dev", "test")

KINDS = ("unsolved", "noted")

_PARTS = re.compile(r'[A-Za-z]+:"[^"]*"?|"[^"]*"?|\S+')

EXAMPLE = 'task:NAME verdict:wrong question:ID is:unsolved words flip* "exact phrase"'


class FilterError(ValueError):
    """The text is not a valid filter; the message says why."""


def parse(text: str, status: Status, *, problems_only: bool = False, unsolved: bool = False) -> SampleFilter:
    """Parses a filter; names are looked up in `status`.

    Raises:
        FilterError: a key or a name is unknown.
    """
    values: dict[str, Any] = {}
    words: list[str] = []
    for part in _PARTS.findall(text):
        key, colon, value = part.partition(":")
        value = value.strip('"')
        if part.startswith('"') or not colon or not value or not key.isalpha():
            words.append(part)
            continue
        name = _matching(key, KEYS, "key")
        if name == "task":
            values["task_id"] = _id(value, {task.name: task.id for task in status.tasks}, "task")
        elif name == "teacher":
            values["teacher_id"] = _id(value, {item.name: item.id for item in status.teachers}, "teacher")
        elif name == "plan":
            values["plan_id"] = _id(value, {plan.name: plan.id for plan in status.plans}, "plan")
        elif name == "split":
            values["split"] = _matching(value, SPLITS, "split")
        elif name == "state":
            values["state"] = _matching(value, STATES, "state")
        elif name == "flag":
            values["flag"] = value
        elif name == "question":
            values["question"] = value
        elif name == "is":
            values[_matching(value, KINDS, "kind of sample")] = True
        else:
            values |= _verdict(_matching(value, VERDICTS, "verdict"))
    values |= {"unsolved": True} if unsolved else {}
    return SampleFilter(**values, text=" ".join(words) or None, faults=problems_only)


def _verdict(word: str) -> dict[str, Any]:
    if word in ("failed", "open"):
        return {"state": word}
    if word == "ungraded":
        return {"ungraded": True}
    return {"verdict": int(word in ("correct", "answered")), "labelled": word in ("correct", "wrong")}


def _matching(given: str, known: tuple[str, ...], what: str) -> str:
    found = [name for name in known if name == given] or [name for name in known if name.startswith(given)]
    if not found:
        raise FilterError(f"unknown {what} {given!r}; known: {', '.join(known)}")
    return found[0]


def _id(given: str, known: dict[str, int], what: str) -> int:
    return known[_matching(given, tuple(known), what)]
