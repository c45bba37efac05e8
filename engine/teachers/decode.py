"""Raw bytes to a JSON value, and strings that the database can hold: the one place where bytes are trusted least.

Python's `json` accepts NaN, raises ValueError for an integer of 5,000 digits, RecursionError for deep
nesting, and lets lone surrogates through, which SQLite refuses. Here each is a `MalformedAnswer`, but
for surrogates in a text, which are replaced: the answer was paid for.
"""

from __future__ import annotations

import codecs
import json

from engine.teachers.failures import MalformedAnswer


def _constant(name: str) -> object:
    raise MalformedAnswer(f"{name} is no JSON value")


_DECODER = json.JSONDecoder(parse_constant=_constant)


def decode_json(raw: bytes) -> object:
    """The JSON value in `raw`.

    Raises:
        MalformedAnswer: the bytes are no UTF-8 or no JSON, or a value that cannot be held safely.
    """
    try:
        text = raw.removeprefix(codecs.BOM_UTF8).decode("utf-8")  # the codec utf-8-sig is slow
    except UnicodeDecodeError:
        raise MalformedAnswer("the answer is not valid UTF-8") from None
    if not text or text.isspace():
        raise MalformedAnswer("the answer is empty")
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        if text.lstrip()[:1] == "<":
            raise MalformedAnswer("the answer is HTML, not JSON") from None
        cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
        what = "cut off" if cut else "not valid"
        raise MalformedAnswer(f"the answer's JSON is {what} at character {error.pos}") from None
    except ValueError:
        raise MalformedAnswer("the answer holds a number too long to read") from None
    except RecursionError:
        raise MalformedAnswer("the answer's JSON is nested too deep") from None


def clean(text: str) -> str:
    """`text` with lone surrogates replaced, so that it can be encoded; pairs become their character."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
