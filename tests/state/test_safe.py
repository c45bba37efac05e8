from __future__ import annotations

import html
import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from state.safe import safe, safe_line, safe_markdown

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


READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
SPECIAL = st.text(alphabet=st.sampled_from("a1 |\\`*_[]()<>!&#;~:/@.\"'=\n\t\x1b\u202e"), max_size=30)
SAMPLES = st.sampled_from(
    [
        "[x](http://a)",
        "![x](http://a)",
        "<img src=x>",
        "<http://a.b>",
        "&#x202e;",
        "&lt;b&gt;",
        "a_b_c",
        "`x`",
    ]
)


def cell(text: str) -> str:
    """What a reader of Markdown makes of a text in a cell."""
    page = READER.render(f"| a | b |\n|---|---|\n| {safe_markdown(text)} | end |\n")
    found = re.fullmatch(
        r".*<tbody>\n<tr>\n<td>(.*)</td>\n<td>end</td>\n</tr>\n</tbody>\n</table>\n", page, re.DOTALL
    )
    assert found, page
    return found[1]


@given(st.lists(SPECIAL | SAMPLES).map("".join))
def test_markdown_shows_the_text_and_does_nothing_with_it(text: str) -> None:
    shown = cell(text)
    assert "<" not in shown
    assert html.unescape(shown) == " ".join(safe(text).split())


def test_names_and_numbers_stay_readable_in_markdown() -> None:
    for text in (
        "fine-tune_cot on coin_flip",
        "66.0 (58.1–73.1)",
        "a < b > c & d",
        "$0.34, 12 %",
        "x~1",
        "!",
    ):
        assert safe_markdown(text) == text


def test_bare_addresses_are_not_made_into_links() -> None:
    assert safe_markdown("see https://a.example or WWW.a.example, me@a.example") == (
        "see https\\://a.example or WWW\\.a.example, me\\@a.example"
    )
