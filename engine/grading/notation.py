r"""A span in the notation that answers are read in: ASCII digits and punctuation, simple LaTeX undone.

It changes how things are written, never what they are: `\frac34` becomes 3/4, `3\frac{1}{2}` becomes 3 1/2, `1{,}250`,
12'345, 12,34,567 and 1_250_000 lose their separators, `5\pi` becomes 5π.
"""

from __future__ import annotations

import re
import unicodedata

_ZEROS = (0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xE50, 0xED0, 0xF20, 0x1040,
          0x17E0, 0x1810, 0xFF10)  # fmt: skip
"""The digit 0 of other scripts: Arabic, Persian, Devanagari, Bengali, Thai, full width, …"""
_TABLE: dict[int, str | None] = {
    **dict.fromkeys(map(ord, "\u00a0\u202f\u2009\u2007\u3000"), " "),
    **dict.fromkeys(map(ord, "\u2212\u2013\u2010\u2011\ufe63\uff0d"), "-"),
    **dict.fromkeys(map(ord, "\u2018\u2019\u02bc\u00b4"), "'"),
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d\u300e\u300f"), '"'),
    **dict.fromkeys(map(ord, "\u200b\u200e\u200f\u2060\ufeff"), None),
    **dict.fromkeys(map(ord, "\u2044\u2215"), "/"),
    ord("\u2014"): " - ", ord("\uff1a"): ":", ord("\uff0c"): ", ", ord("\u3001"): ", ", ord("\u3002"): ". ", ord("\u060c"): ", ",
    ord("\u066b"): ".", ord("\u066c"): ",", ord("\uff08"): "(", ord("\uff09"): ")", ord("\u3010"): "[", ord("\u3011"): "]",
    ord("\uff0e"): ".", ord("\uff05"): "%", ord("\u066a"): "%", ord("\uff0f"): "/", ord("\uff01"): "!", ord("\uff0b"): "+",
    ord("\uff04"): "$", ord("\uff1d"): "=", ord("\u2217"): "×", ord("\u22c5"): "×", ord("\u00b7"): "·",
    **{zero + digit: str(digit) for zero in _ZEROS for digit in range(10)},
    **{code: chr(code - 0xFEE0) for code in (*range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))},
}  # fmt: skip
_CJK = "\u0e00-\u0e7f\u3005-\u30ff\u3400-\u9fff\uac00-\ud7af"
_BESIDE = re.compile(rf"(?<=[{_CJK}])(?=[-+$]?[0-9]|[A-Za-z])|(?<=[0-9A-Za-z])(?=[{_CJK}])")
"""Scripts without spaces: digits and Latin letters are words of their own."""
_VULGAR = re.compile(r"(\d?)([\u00bc-\u00be\u2150-\u215e])")

_GROUPED = re.compile(
    r"(?<![\w.,])(?:(\d{1,3})((?:['\u00a0\u202f\u2009 ]\d{3}){1,6})(?![\d.]?\d)"
    r"|(\d{1,2}(?:,\d{2}){1,6},\d{3})(?![\d,])"
    r"|(\d{1,3}(?:_\d{3}){1,6})(?!\w))"
)
_LATEX_GROUPED = re.compile(r"(?<=\d)(?:\{,\}|\\,|\\!|\\;|,\\!)(?=\d{3}(?!\d))")
_WORDS = re.compile(
    r"\\(?:text|mathrm|mathbf|textbf|mbox|textit|mathit|operatorname|emph|hbox)\s{0,2}\{([^{}]{0,200})\}"
)
_SMALL = r"(?:\{\s{0,4}(-?[\d.,]{1,20})\s{0,4}\}|(\d))"
_FRACTION = re.compile(rf"(\d?)\s?\\[dtc]?frac\s{{0,2}}{_SMALL}\s{{0,2}}{_SMALL}")
_ROOT = re.compile(r"\\sqrt\s{0,2}\{([^{}]{0,80})\}")
_GONE = re.compile(r"\\(?:[,;:! ]|left|right|displaystyle|quad|qquad|bigl?|bigr?|[()\[\]])(?![A-Za-z])")
_DELIMITED = re.compile(r"\$\$?(?=[^\s$])([^$\n]{1,200}?)(?<=[^\s$])\$\$?(?!\d)")
_SIGNS = (("\\%", "%"), ("\\$", "$"), ("\\times", "×"), ("\\cdot", "×"), ("\\pi", "π"), ("^\\circ", "°"), ("^{\\circ}", "°"),
          ("\\approx", "≈"), ("\\pm", "±"), ("\\div", "÷"), ("\\leq", "≤"), ("\\le", "≤"), ("\\geq", "≥"), ("\\ge", "≥"))  # fmt: skip


def plain(span: str) -> str:
    """A span in plain notation."""
    if not span.isascii():
        span = _VULGAR.sub(_vulgar, span).translate(_TABLE)
        span = _BESIDE.sub(" ", span)
    if "\\" in span or "$" in span or "{" in span:
        span = _untexed(span)
    if "'" in span or " " in span or "," in span or "_" in span:
        span = _GROUPED.sub(_together, span)
    return span


def _untexed(span: str) -> str:
    """A span without LaTeX's commands, as far as they are simple."""
    if span.count("$") > 1:
        span = _DELIMITED.sub(r"\1", span)
    if "{" in span or "\\" in span:
        span = _LATEX_GROUPED.sub("", span)
        span = _WORDS.sub(r" \1", span)
        if "frac" in span:
            span = _FRACTION.sub(_fraction, span)
        if "sqrt" in span:
            span = _ROOT.sub(r"√(\1)", span)
        for one, two in _SIGNS:
            span = span.replace(one, two)
        span = _GONE.sub(" ", span)
    return span


def _fraction(match: re.Match[str]) -> str:
    whole, top, bottom = match[1], match[2] or match[3], match[4] or match[5]
    return f"{whole} {top}/{bottom}" if whole else f"{top}/{bottom}"


def _vulgar(match: re.Match[str]) -> str:
    fraction = unicodedata.normalize("NFKC", match[2]).replace("\u2044", "/")
    return f"{match[1]} {fraction}" if match[1] else fraction


def _together(match: re.Match[str]) -> str:
    whole = match[0]
    return "".join(character for character in whole if character.isdigit())
