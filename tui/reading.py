"""Texts that are read: wrapped to cells, words tinted by how unlikely they were, answers as chips. Pure."""

from __future__ import annotations

import math
import os
import re
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import islice

from rich.console import Console
from rich.text import Text

from state.views.questions import Spans
from tui.colours import colours, mixed, style
from tui.text import say

UNLIKELY, UNSURE = math.log(0.1), math.log(0.4)
"""Tokens below these log-probabilities are tinted, strongly and weakly."""


COMPARED = 1_000
"""Words of two texts that are compared."""
_MARKS = ".,;:!?()[]\"'*“”’"


@lru_cache(maxsize=1)
def _console() -> Console:
    return Console()


def wrapped(text: Text, width: int) -> list[Text]:
    """The lines of a text at a width; a long word is broken."""
    return list(text.wrap(_console(), max(1, width), overflow="fold", tab_size=4))


def tinted(text: str, spans: Spans) -> Text:
    """A text whose unlikely tokens have a tint; without colours they are underlined."""
    found = say(text)
    if len(found.plain) != len(text):  # `say` keeps lengths, but the places must be certain
        return found
    weak, strong = _tint("attention"), _tint("bad")
    for start, end, value in spans:
        if value < UNSURE:
            while start < end and text[start].isspace():  # the space before a word belongs to its token
                start += 1
            found.stylize(strong if value < UNLIKELY else weak, start, end)
    return found


def contrasted(text: str, other: str) -> Text:
    """A text in which the words are tinted that another one does not have at that place; case and punctuation do not count."""
    found = say(text)
    if len(found.plain) != len(text):
        return found
    places = [match.span() for match in islice(re.finditer(r"\S+", text), COMPARED)]
    own = [text[start:end].strip(_MARKS).casefold() for start, end in places]
    theirs = [word.strip(_MARKS).casefold() for word in other.split(maxsplit=COMPARED)[:COMPARED]]
    for word, _, _, start, end in SequenceMatcher(None, theirs, own, autojunk=False).get_opcodes():
        if word in ("insert", "replace"):
            found.stylize(_tint("attention"), places[start][0], places[end - 1][1])
    return found


def unsure(spans: Spans) -> bool:
    """Whether any token is tinted."""
    return any(value < UNSURE for _, _, value in spans)


def _tint(role: str) -> str:
    if "NO_COLOR" in os.environ:
        return "underline"
    now = colours()
    return f"{now.strong} on {mixed(getattr(now, role), now.background, 0.6 if now.dark else 0.72)}"


def chip(words: str, role: str) -> Text:
    """Words on a ground of their own."""
    found = say(f" {words} ")
    plain = "NO_COLOR" in os.environ
    now = colours()
    found.stylize("bold reverse" if plain else f"bold {now.background} on {getattr(now, role)}")
    return found


def block(cells: int, role: str) -> Text:
    """A bar of full cells, painted as ground so that no seams show."""
    found = say((" " * cells, ""))
    found.stylize("reverse" if "NO_COLOR" in os.environ else f"on {style(role)}")
    return found
