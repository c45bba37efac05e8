"""JSON from and to bytes, and text as strings that the database can store.

orjson reads and writes most bodies. Python's `json` handles those that orjson rejects: it accepts NaN, raises ValueError for
an integer of 5,000 digits and RecursionError for deep nesting, and lets lone surrogates through, which SQLite rejects.
Here each becomes a `MalformedAnswer`, except surrogates in text, which are replaced: the response was paid for.
"""

from __future__ import annotations

import codecs
import json

import orjson

from engine.teachers.failures import MalformedAnswer


def _constant(name: str) -> object:
    raise MalformedAnswer(f"{name} is not a JSON value")


_DECODER = json.JSONDecoder(parse_constant=_constant)


def decode_json(raw: bytes) -> object:
    """The JSON value in `raw`.

    Raises:
        MalformedAnswer: the bytes are not UTF-8 or not JSON, or hold a value that cannot be stored safely.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    try:
        text = raw.removeprefix(codecs.BOM_UTF8).decode("utf-8")  # the codec utf-8-sig is slow
    except UnicodeDecodeError:
        raise MalformedAnswer("the response is not valid UTF-8") from None
    if not text or text.isspace():
        raise MalformedAnswer("the response is empty")
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        if text.lstrip()[:1] == "<":
            raise MalformedAnswer("the response is HTML, not JSON") from None
        cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
        what = "cut off" if cut else "not valid"
        raise MalformedAnswer(f"the response's JSON is {what} at character {error.pos}") from None
    except ValueError:
        raise MalformedAnswer("the response contains a number too long to parse") from None
    except RecursionError:
        raise MalformedAnswer("the response's JSON is nested too deeply") from None


def encode_json(value: object) -> bytes:
    """`value` as JSON; what orjson refuses (a lone surrogate, an integer beyond 64 bits) is written with escapes and digits."""
    try:
        return orjson.dumps(value)
    except (TypeError, ValueError):
        return json.dumps(value).encode()


def clean(text: str) -> str:
    """`text` with lone surrogates replaced, so that it can be encoded; pairs become their character."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
