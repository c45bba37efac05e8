"""The border to terminals and logs: `safe()` makes text that others wrote harmless to show.

Invariants: what comes out holds no control character but tab and newline, nothing that reorders
text, and can be encoded as UTF-8; what was taken out stays visible. It does not know markup: that
is kept out by showing such text literally only.
"""

from __future__ import annotations

import re

REPLACEMENT = "\ufffd"

_BIDI = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]

_TABLE: dict[int, str] = (
    {code: chr(0x2400 + code) for code in range(0x20) if code not in (0x09, 0x0A)}  # ␀ … ␛ … ␟
    | {0x7F: "\u2421"}
    | dict.fromkeys(range(0x80, 0xA0), REPLACEMENT)  # C1: one byte that some terminals take for ESC [
    | dict.fromkeys(_BIDI, REPLACEMENT)
    | dict.fromkeys(range(0xD800, 0xE000), REPLACEMENT)  # in a str every surrogate is a lone one
)

_HOSTILE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def safe(text: str) -> str:
    """`text` with control characters (but tab and newline), bidi controls and surrogates made visible."""
    if text.isascii() and text.isprintable():
        return text
    return text.translate(_TABLE) if _HOSTILE.search(text) else text
