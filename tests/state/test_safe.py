from __future__ import annotations

import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from state.safe import safe, safe_line

FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def test_plain_text_comes_back_as_it_was() -> None:
    text = "Naïve café — 3 × 4 = 12\n\tДа, 是的 😀 e\u0301"
    assert safe(text) is text


def test_every_code_point_is_either_kept_or_replaced_by_something_visible() -> None:
    for code in range(0x110000):
        got = safe(chr(code))
        if FORBIDDEN.match(chr(code)):
            assert unicodedata.category(got) == "So", hex(code)
        else:
            assert got == chr(code), hex(code)


def test_terminal_sequences_lose_their_teeth() -> None:
    title = "\x1b]0;owned\x07"
    clear = "\x9b2J\x1b[2J"
    bell = "a\rb\x08c\x7f"
    assert safe(title) == "␛]0;owned␇"
    assert safe(clear) == "\ufffd2J␛[2J"
    assert safe(bell) == "a␍b␈c␡"


def test_text_that_reads_backwards_is_shown_as_it_stands() -> None:
    assert safe("yes\u202eon\u202c") == "yes\ufffdon\ufffd"


@given(st.text(alphabet=st.characters()))
def test_what_comes_out_can_be_written_and_is_stable(text: str) -> None:
    shown = safe(text)
    shown.encode("utf-8")
    assert not FORBIDDEN.search(shown)
    assert safe(shown) == shown
    assert len(shown) == len(text)


def test_lines_are_single_and_short() -> None:
    assert safe_line("a\n\tb  c") == "a b c"
    assert len(safe_line("x" * 999)) == 200
