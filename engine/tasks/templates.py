"""Question templates: questions of one template differ only in names and numbers.

Ho et al. (2023) split by template to see what a student learns beyond templates. Numbers (digits and words), months and
weekdays, quotations, names and their pronouns are replaced by marks; choices are dropped. A capitalised word is a name if no
question of the task has it in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_CHOICES = re.compile(r"(?is)(?:which choice is true\s*\?\s*)?answer choices?:.*\Z")
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|\d+(?:[,.:/]\d+)*|[^\w\s]")
_CALENDAR = frozenset(
    "january february march april may june july august september october november december jan feb mar apr jun jul"
    " aug sep sept oct nov dec monday tuesday wednesday thursday friday saturday sunday".split()
)
_NUMBERS = frozenset(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand half twice".split()
)
_PRONOUNS = frozenset("he she his her hers him himself herself".split())
_PLAIN = frozenset(
    "a an the if in on at of for to from by with how what when where which who why is are was were do does did it its"
    " they their there this that these those after before during each every some i we you as and but or so then"
    " now today yesterday tomorrow let suppose given find first last next".split()
)


def templates(texts: Sequence[str]) -> list[str]:
    """The template of each text, in order."""
    low = {word for text in texts for word in _WORD.findall(text) if word[:1].islower()} | _PLAIN
    return [_template(text, low) for text in texts]


def _template(text: str, low: set[str]) -> str:
    words = _WORD.findall(_QUOTED.sub(" “ ", _CHOICES.sub("", text)))
    kept: list[str] = []
    for word in words:
        mark = _mark(word, low)
        if mark == "@" and kept and kept[-1] == "@":  # first and last name
            continue
        kept.append(mark)
    return " ".join(kept)


def _mark(word: str, low: set[str]) -> str:
    if word[0].isdigit():
        return "#"
    small = word.casefold().replace("’", "'")
    base = small.removesuffix("'s")
    if base in _NUMBERS:
        return "#"
    if base in _CALENDAR and word[0].isupper():
        return "@date"
    if base in _PRONOUNS:
        return "@he"
    if word[0].isupper() and base not in low and small not in low:
        return "@"
    return small
