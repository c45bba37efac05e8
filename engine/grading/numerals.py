"""Numbers in digits and in words, as exact fractions.

Digits: "1,234.50", ".25", "-3", "3/8", "2 1/2", "3 and 1/4", "5e3", "1.5 × 10^6", "2^10", "2.5 million", "3 dozen", "20%". Words:
"two hundred ninety-six", "nine point eight", "three-tenths", "minus five", "one half". A decimal comma is one
only where it can be nothing else ("0,75", "1.234,56", "3,50 €", "12,5 %", "2,5 kg"): "4,2" may be a list. Digits
that belong to a word or a unit ("CO2", "m^2", "1st", "12B") or to a time of day ("5:24", but "5:00" is 5) are not
numbers. A number beside a symbol ("5π", "2√(3)", "5x", "√2") is a part of an expression.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import NamedTuple

_CURRENCY = re.compile(r"(?i)(?<![a-z])(?:rs|usd|eur|gbp|inr|us|cad|aud)\.?[ ]?\$?[ ]?(?=\.?\d)")
_FOREIGN = re.compile(r"[€£¥₹₽](?=\s?-?\.?\d)")
_COINS = re.compile(
    r"(?<![\w.,])(?:\$ ?)?(\d{1,9}) dollars?,? (?:and )?(\d{1,2}) cents?\b|(?<![\w.,])(\d{1,9}) euros?,? (?:and )?(\d{1,2}) cents?\b"
)
_DOTTED = re.compile(r"(?<![\w.,$])(\d{1,3}(?:\.\d{3}){1,6}),(\d{1,6})(?![\d,]|\.\d)")
_DOTTED_WHOLE = re.compile(r"(?<![\w.,])(\d{1,3}(?:\.\d{3}){2,6})(?![\d,]|\.\d)")
_COMMA = re.compile(
    r"(?<![\w.,])(?:(0),(\d{1,9})(?![\d,]|\.\d)|(?:(?<=[$€£])|(?<=[$€£] ))(\d{1,9}),(\d{1,2})(?![\d,]|\.\d)"
    r"|(\d{1,9}),(\d{1,2})(?=\s?(?:[€£%]|(?:euros?|EUR|percent|kg|km|cm|mm|ml|m²|°C|[Ll]iters?|[Ll]itres?|litros?|Stunden|heures|horas)\b)))"
)
_LOCAL_COMMA = re.compile(r"(?<![\w.,])(\d{1,9}),(\d{1,9})(?![\d,]|\.\d|, ?\d)")
_CLOCK = re.compile(r"(?<![\d:.])(\d{1,2}):([0-5]\d)(:[0-5]\d)?(?![\d:])")
_UNITS_WITHIN = (
    ("hours?|hrs?", "minutes?|mins?", 60), ("minutes?|mins?", "seconds?|secs?", 60), ("feet|foot|ft", "inches|inch|in", 12),
    ("pounds?|lbs?", "ounces?|oz", 16), ("years?", "months?", 12), ("weeks?", "days?", 7), ("days?", "hours?", 24),
)  # fmt: skip
_TWO_UNITS = tuple(
    (
        re.compile(
            rf"(?i)(?<![\w.,/])(\d{{1,9}})[\s-]?(?:{larger}),?\s(?:and\s)?(\d{{1,9}}(?:\.\d{{1,9}})?)[\s-]?(?:{smaller})\b"
        ),
        scale,
    )
    for larger, smaller, scale in _UNITS_WITHIN
)
_TIME = re.compile(
    r"\W*(?:at |it is )?(\d{1,2}):([0-5]\d)(?::([0-5]\d))?\s?(?:([ap])\.?m\b)?\W*", re.IGNORECASE
)
_POWER_OF_UNIT = re.compile(r"(?<=[A-Za-z)])\^\{?-?\d{1,3}\}?")
_PLAIN = r"(?:\d{1,3}(?:,\d{3}){1,8}(?!\d)|\d{1,40})(?:\.\d{1,40})?|\.\d{1,40}"
_NUMBER = re.compile(
    rf"(?<![\w.^/])(?P<sign>(?<![\w)%.])(?:[-+](?=\$?\s?\.?\d)(?!\s)\$?|(?<![\w)%.']\s)[-+]\s\$?|(?<=\b(?:is|be)\s)[-+]\s\$?)|\$\s?-)?\$?\s?(?P<value>{_PLAIN})"
    r"(?:(?:\s|-|\sand\s)(?P<top>\d{1,6})\s?/\s?(?P<bottom>\d{1,6})(?![\d/])"
    r"|\s?/\s?(?P<over>\d{1,12})(?![\d/.]\d)"
    r"|[eE](?P<exponent>[+-]?\d{1,9})(?!\w)"
    r"|\s?[×x*]\s?10\s?\^\s?\{?(?P<power>[+-]?\d{1,3})\}?"
    r"|\s?(?:\^|\*\*)\s?\{?(?P<raised>-?\d{1,4})\}?)?"
    r"(?P<ordinal>st\b|nd\b|rd\b|th\b)?(?P<scale>\s?(?:thousand|million|billion|trillion|dozen|lakh|crore|mn|bn)s?\b|[kKM]\b)?(?P<percent>\s?(?:%|percent\b|per cent\b))?"
)
"""A number in digits: sign and currency, then a mixed number, fraction, exponent or power, then an ordinal, a size or a percent sign."""
_SYMBOL = re.compile(r"\s?(?:[π√\\^]|[xyznabckij](?![\w']|\s[a-z]{2}|\s?[\d($-]))")
"""What makes a number before it a part of an expression."""
_LABEL = re.compile(r"[A-BD-EGHLO-UX-Z](?![A-Za-z°])")
"""A letter that makes a name of a number before it: 12B."""
_SCALES = {
    "thousand": 10**3, "k": 10**3, "million": 10**6, "m": 10**6, "mn": 10**6, "billion": 10**9, "bn": 10**9,
    "trillion": 10**12, "dozen": 12, "lakh": 10**5, "crore": 10**7,
}  # fmt: skip
_SCALE_WORDS = {
    name: value
    for name, value in _SCALES.items()
    if name in ("thousand", "million", "billion", "trillion", "k", "dozen")
}
_UNITS = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
}
_TENS = {
    word: 10 * value
    for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)
}
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4, "fourths": 4, "fifth": 5,
    "fifths": 5, "sixth": 6, "sixths": 6, "seventh": 7, "sevenths": 7, "eighth": 8, "eighths": 8, "ninth": 9, "ninths": 9,
    "tenth": 10, "tenths": 10, "hundredth": 100, "hundredths": 100, "thousandth": 1000, "thousandths": 1000,
}  # fmt: skip
_WORD = re.compile(r"[a-z]+")
_NUMERALS = frozenset((*_UNITS, *_TENS, *_SCALE_WORDS, "hundred", "half"))
"""Words without which a text has no number in words."""
MAX_EXPONENT = 200
MAX_WORDS = 20
"""Numbers beyond these bounds are not meant as numbers."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text: its value, its place, how it was written.

    `finer` is the same quantity in its smaller unit: 2 hours and 30 minutes have the value 2.5 and are 150. `symbolic` says
    that it is a part of an expression, 5π, whose value it is not.
    """

    value: Fraction
    start: int
    end: int
    decimals: int = 0
    percent: bool = False
    currency: bool = False
    finer: Fraction | None = None
    symbolic: bool = False
    ordinal: bool = False


class Time(NamedTuple):
    """A time of day; `is_of_24` says that the text told morning from afternoon."""

    hour: int
    minute: int
    second: int
    is_of_24: bool

    def is_same(self, other: Time) -> bool:
        """Whether both are one time; if one of them does not say which half of the day, both halves fit."""
        hours = 24 if self.is_of_24 and other.is_of_24 else 12
        return self.hour % hours == other.hour % hours and self[1:3] == other[1:3]

    def __str__(self) -> str:
        return f"{self.hour}:{self.minute:02}" + (f":{self.second:02}" if self.second else "")


def tidy(text: str, *, comma: bool = False) -> str:
    """`text` in the notation that is read: "$" for currency, no decimal comma, no time, no unit's power.

    Positions of `numbers` refer to it. `comma`: 12,75 is 12.75, as in most languages of Europe.
    """
    if "," in text:
        if comma:
            text = _LOCAL_COMMA.sub(r"\1.\2", text)
        text = _DOTTED.sub(lambda match: match[1].replace(".", "") + "." + match[2], text)
        text = _COMMA.sub(
            lambda match: ".".join(group for group in match.groups() if group is not None), text
        )
    if "." in text:
        text = _DOTTED_WHOLE.sub(lambda match: match[1].replace(".", ""), text)
    if ":" in text:
        text = _CLOCK.sub(_hour, text)
    if "cent" in text:
        text = _COINS.sub(lambda match: f"${match[1] or match[3]}.{int(match[2] or match[4]):02}", text)
    if not text.isascii():
        text = _FOREIGN.sub("$", text)
    return _POWER_OF_UNIT.sub("", _CURRENCY.sub("$", text))


def two_units(text: str) -> list[Number]:
    """Quantities in two units, "7 feet, 4 inches", of a text that went through `tidy`."""
    found = []
    for pattern, scale in _TWO_UNITS:
        for match in pattern.finditer(text):
            finer = int(match[1]) * scale + Fraction(match[2])
            found.append(Number(finer / scale, match.start(), match.end(), finer=finer))
    return found


def clock(text: str) -> Time | None:
    """The time of day that a text consists of ("3:45 pm")."""
    match = _TIME.fullmatch(text[:40]) if len(text) <= 40 else None
    if not match or int(match[1]) > 24:
        return None
    hour, half = int(match[1]), (match[4] or "").lower()
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    return Time(hour, int(match[2]), int(match[3] or 0), is_of_24=bool(half) or hour > 12 or hour == 0)


def _hour(match: re.Match[str]) -> str:
    """What remains of a time in the text: the number of a full hour, nothing of any other."""
    whole = match[2] == "00" and match[3] in (None, ":00") and int(match[1]) <= 24
    return match[1] if whole else "~"


def numbers(text: str) -> list[Number]:
    """The numbers of a text in digits; if there are none, those in words."""
    text = tidy(text)
    found = [number for match in _NUMBER.finditer(text) if (number := _read(match, text)) is not None]
    plain = [number for number in found if not number.ordinal]
    return plain or in_words(text) or found


def _read(match: re.Match[str], text: str) -> Number | None:
    end = match.end()
    if end < len(text) and _LABEL.match(text, end):
        return None
    plain = match["value"].replace(",", "")
    if plain.isdecimal():  # the usual case, much faster
        value = Fraction(int(plain))
    else:
        value = Fraction(plain if not plain.startswith(".") else "0" + plain)
    if match["top"]:
        if match["bottom"].strip("0") == "":
            return None
        value += Fraction(int(match["top"]), int(match["bottom"]))
    elif match["over"]:
        if match["over"].strip("0") == "":
            return None
        value /= int(match["over"])
    exponent = match["exponent"] or match["power"]
    if exponent:
        if abs(int(exponent)) > MAX_EXPONENT:
            return None
        value *= Fraction(10) ** int(exponent)
    if match["raised"]:
        raised = int(match["raised"])
        if (
            abs(raised) > MAX_EXPONENT
            or abs(raised) * len(plain) > 4 * MAX_EXPONENT
            or (not value and raised < 0)
        ):
            return None
        value **= raised
    if match["scale"]:
        scale = match["scale"].strip().lower()
        value *= _SCALES.get(scale) or _SCALES[scale.rstrip("s")]
    sign = match["sign"]
    negative = (sign is not None and "-" in sign) or _is_negated(text, match.start())
    return Number(
        value=-value if negative else value,
        start=match.start(),
        end=match.end(),
        decimals=len(plain.partition(".")[2]),
        percent=match["percent"] is not None,
        currency="$" in match[0],
        symbolic=(end < len(text) and _SYMBOL.match(text, end) is not None)
        or text[max(0, match.start() - 2) : match.start()].strip("( ")[-1:] == "√",
        ordinal=match["ordinal"] is not None,
    )


def _is_negated(text: str, at: int) -> bool:
    """Whether the word before a place is "minus" or "negative"; it copies no more of the text than that word."""
    while at and text[at - 1].isspace():
        at -= 1
    return text[max(0, at - len("negative")) : at].lower().endswith(("minus", "negative"))


def numeric_form(answer: str) -> str:
    """Equal for extracted numbers of the same value, "1/2" and "0.5"; what is not a number, without spaces."""
    bare = "".join(answer.casefold().split()).replace(",", "").replace("$", "")
    try:
        return str(Fraction(bare))
    except (ValueError, ZeroDivisionError):
        pass
    try:
        return str(Decimal(bare).normalize())
    except InvalidOperation:
        return bare


def in_words(text: str) -> list[Number]:
    """Numbers written in words; runs of number words, joined by "and" and hyphens."""
    found: list[Number] = []
    run: list[str] = []
    start = end = 0
    lowered = text.lower()
    if _NUMERALS.isdisjoint(_WORD.findall(lowered)):
        return found
    for match in _WORD.finditer(lowered):
        word = match[0]
        gap = lowered[end : match.start()]
        joined = bool(run) and gap.strip(" -") == ""
        if run and not joined:
            _close(run, start, end, lowered, found)
            run = []
        numeral = word in _UNITS or word in _TENS or word in _SCALE_WORDS or word == "hundred"
        if numeral and word != "k":
            start = start if run else match.start()
            run.append(word)
        elif run and word in ("and", "point", *_PARTS):
            run.append(word)
        elif word == "a" and run and run[-1] == "and":  # "two and a half"
            pass
        elif word in ("half",):
            start, run = match.start(), ["one", word]
        elif run:
            _close(run, start, end, lowered, found)
            run = []
        end = match.end()
    _close(run, start, end, lowered, found)
    return found


def _close(run: list[str], start: int, end: int, text: str, found: list[Number]) -> None:
    while run and run[-1] in ("and", "point"):
        run = run[:-1]
    value = _value(run)
    if value is not None:
        negative = text[:start].rstrip().endswith(("minus", "negative"))
        found.append(Number(-value if negative else value, start, end))


def _value(run: list[str]) -> Fraction | None:
    """The value of a run of number words; None if they have none."""
    if not run or len(run) > MAX_WORDS:
        return None
    if "point" in run:
        at = run.index("point")
        whole = _value(run[:at])
        digits = _decimals(run[at + 1 :])
        return (whole or Fraction(0)) + Fraction(int(digits), 10 ** len(digits)) if digits else None
    if run[-1] in _PARTS:
        if "and" in run:
            at = len(run) - 1 - run[::-1].index("and")
            left, part = _value(run[:at]), _value([*(run[at + 1 : -1] or ["one"]), run[-1]])
            return left + part if left is not None and part is not None else None
        top = _value(run[:-1] or ["one"])
        return top / _PARTS[run[-1]] if top is not None else None
    total, current = 0, 0
    for word in run:
        if word in _UNITS:
            current += _UNITS[word]
        elif word in _TENS:
            current += _TENS[word]
        elif word == "hundred":
            current = max(1, current) * 100
        elif word in _SCALE_WORDS:
            total, current = total + max(1, current) * _SCALE_WORDS[word], 0
        elif word != "and":
            return None
    return Fraction(total + current)


def _decimals(words: list[str]) -> str:
    """The digits after "point": "eight", "two five" and "eighty-seven" are 8, 25 and 87."""
    digits = ""
    after_tens = False
    for word in words:
        if word in _UNITS:
            digits = (digits[:-1] if after_tens else digits) + str(_UNITS[word])
            after_tens = False
        elif word in _TENS:
            digits += str(_TENS[word])
            after_tens = True
    return digits
