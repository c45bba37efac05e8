"""Sentences, emphasis, denials and reasons: what all formats need to know of prose."""

from __future__ import annotations

import re

TERSE = 4
"""Words in the first sentence of a short text that may be its answer."""

_STRUCK = re.compile(r"~~[^~\n]{1,200}~~")
TAG = re.compile(r"</?(?:b|i|u|em|strong|mark|code|p|br|span|div|h\d)(?:\s[^<>]{0,60})?/?>", re.IGNORECASE)
"""Tags of HTML that only change how a text looks."""
_EMPHASIS = re.compile(
    r"(?<![\w)])(?<![\w)]\s)\*{1,3}(?=\S)|(?<=\S)\*{1,3}(?![\w(*])(?!\s[\d(-])|\*\*(?=\s*$)|(?<![A-Za-z0-9])_{2,3}(?=\S)|(?<=\S)_{2,3}(?![A-Za-z0-9])|`{1,3}"
)
"""Signs beside a word; not those of "2 * 3", "x**2" and "snake_case"."""
SENTENCE = re.compile(
    r"[.!?。！？\n](?:(?<=\n)\n*|(?<=[。！？])|(?<=[.!?])(?<!\b(?:Dr|Mr|Ms|St|vs|Jr|Sr)\.)(?<!\bMrs\.)(?<!\be\.g\.)(?<!\bi\.e\.)[\"')\]]{0,2}[ \t]+(?!(?<=\bNo\. )\d))"
)
"""The end of a sentence or line, from its last character."""
_WORDLIKE = re.compile(r"[^\W_]")
_DENIED = re.compile(
    r"(?:(?:^|,?\s)(?:but |and )?not|(?<=[a-z])n't)\s(?:(?!\sbut\s)[^.,;\n]){1,60}", re.IGNORECASE
)
_BECAUSE = (
    r"(?:[,;]?\s(?:because|since|as|given|denn|weil|da|parce|car|puisque|porque|pois|perché|poiché|omdat|want|eftersom|fordi|ponieważ|gdyż|потому|так как"
    r"|поскольку|бо|çünkü|vì|karena|sebab|لأن|क्योंकि)\b|[,;、，；]?\s?(?:因为|因為|由于|由於|なぜなら|왜냐하면|เพราะ|כי\b))"
)
"""Begins a reason behind an answer, in many languages."""
JOINED = re.compile(
    r"[\s,;&/~-]{0,8}(?:or|and|to|between|through)?[\s,;&/~-]{0,8}(?:maybe|perhaps|possibly)?[\s,;&/~-]{0,8}",
    re.IGNORECASE,
)
"""What stands between the answers of a list or range."""


def reason_pattern(words: str, *others: str) -> re.Pattern[str]:
    """How a reason or remark begins behind an answer: "because", one of the words, or another pattern."""
    return re.compile("|".join((_BECAUSE, rf"[,;]?\s(?:{words})\b", *others)), re.IGNORECASE)


def affirmed(span: str) -> str:
    """A span without the parts it denies: "5, not 6" affirms 5."""
    return _DENIED.sub("", span) if "not" in span or "n't" in span or span.startswith("Not") else span


def unemphasised(text: str) -> str:
    """A text without Markdown's emphasis and code quotes, and without what is struck out."""
    if "~~" in text:
        text = _STRUCK.sub("", text)
    if "<" in text:
        text = TAG.sub("", text)
    return _EMPHASIS.sub("", text) if "*" in text or "`" in text or "__" in text else text


def sentences(text: str) -> list[str]:
    """Sentences and lines that contain a letter or digit."""
    pieces, begin = [], 0
    for end in SENTENCE.finditer(text):
        pieces.append(text[begin : end.start() + (text[end.start()] != "\n")])
        begin = end.end()
    pieces.append(text[begin:])
    return [piece for piece in pieces if _WORDLIKE.search(piece)]


def terse(sentence: str) -> bool:
    """Whether a sentence is short enough to be an answer by itself."""
    return len(sentence.split()) <= TERSE
