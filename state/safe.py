"""Makes untrusted text safe for terminal, log and report.

Model output and error bodies may be hostile. `safe` replaces characters that a terminal would interpret or that
could deceive a reader: control characters except tab and newline, DEL, the C1 range, bidirectional overrides and
isolates, line separators and lone surrogates. Each becomes one visible character, so lengths do not change. It does
not handle markup: render the result as plain text. `safe_json` escapes the same characters where no value may change.
`safe_markdown` also takes the meaning from what Markdown, and GitHub's links to bare addresses, would read.
"""

from __future__ import annotations

import re

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNSAFE = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDI}\u2028\u2029\ud800-\udfff]")
_TABLE: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: "\N{SYMBOL FOR DELETE}",
    **{
        code: REPLACEMENT
        for low, high in ((0x80, 0x9F), (0x202A, 0x202E), (0x2066, 0x2069), (0xD800, 0xDFFF))
        for code in range(low, high + 1)
    },
    **dict.fromkeys((0x061C, 0x200E, 0x200F, 0x2028, 0x2029), REPLACEMENT),
}


def safe(text: str) -> str:
    """`text` with each unsafe character replaced by a visible one."""
    return text.translate(_TABLE) if _UNSAFE.search(text) else text


def safe_json(text: str) -> str:
    """JSON text with each unsafe character of its strings escaped: a reader of JSON gets the same values."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


_MARKUP = re.compile(
    r"[\\`*|]|\](?=[(\[:])|<(?=[A-Za-z/!?])|&(?=#?\w+;)|~(?=~)|(?<!\w)_|_(?!\w)|:(?=//)|(?<=www)\.|(?<=\w)@(?=\w)",
    re.IGNORECASE,
)


def safe_markdown(text: str) -> str:
    """Text of others on one line of a Markdown document: without links, images, HTML, entities, marks and borders of cells."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(safe(text).split()))


def safe_line(text: str, limit: int = 200) -> str:
    """`safe` on one line, with white space collapsed, at most `limit` characters."""
    line = " ".join(safe(text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
