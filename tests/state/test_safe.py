from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from state.safe import safe, safe_line

BAD = [*range(0x20), 0x7F, *range(0x80, 0xA0), 0x202E, 0x2066, 0x200F, 0x2028, 0xD800, 0xDFFF]


def test_each_harmful_character_becomes_one_visible_one() -> None:
    for code in BAD:
        if chr(code) in "\t\n":
            continue
        out = safe(f"a{chr(code)}b")
        assert len(out) == 3
        assert out[1].isprintable()


def test_good_text_is_left_alone() -> None:
    text = "Zoë → 4 × 2 = 8\n\t中文 \N{GRINNING FACE} [bold] x"
    assert safe(text) is text


@given(st.text(st.characters()))
def test_whatever_comes_out_can_be_encoded_and_is_stable(text) -> None:
    out = safe(text)
    out.encode()
    assert safe(out) == out
    assert not any(ord(character) in BAD and character not in "\t\n" for character in out)


def test_lines_are_single_and_short() -> None:
    assert safe_line("a\n\tb  c") == "a b c"
    assert len(safe_line("x" * 999)) == 200
