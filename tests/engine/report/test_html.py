from __future__ import annotations

import re

from engine.report import page, text_table


def test_a_table_becomes_a_table_and_the_page_loads_nothing() -> None:
    text = page("# T\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n", "report")
    assert "<td>1</td>" in text and "<h1>T</h1>" in text
    assert "default-src &#x27;none&#x27;" in text
    assert not re.search(r"src=|href=|@import|url\(", text)


def test_what_others_wrote_stays_text() -> None:
    text = page("<script>alert(1)</script> [x](javascript:alert(1)) <img src=x onerror=y>", "a <b> & c")
    assert "<script" not in text and "<img" not in text and 'href="javascript' not in text
    assert "<title>a &lt;b&gt; &amp; c</title>" in text


def test_a_column_of_one_letter_is_a_column_too() -> None:
    assert "<th" in page(text_table(("plan", "D"), [("diverse", "8")]), "report")


def test_images_become_the_figures_side_by_side_and_none_is_loaded() -> None:
    svg = "<svg><text>curve</text></svg>"
    text = page("![What & why](a.svg)\n\n![](b.svg)\n\n![gone](c.svg)\n", "x", {"a.svg": svg, "b.svg": svg})
    assert text.count('<div class="figures">') == 1 and text.count("<figure>") == 2
    assert "<figcaption>What &amp; why</figcaption>" in text
    assert "<p><figure>" not in text and "<p>gone</p>" in text and "<img" not in text


def test_long_listings_are_folded_and_long_cells_may_break() -> None:
    text = page("```json\n{\n<b>\n}\n```\n\n| a | b |\n|---|---|\n| 1 | " + "word " * 20 + "|\n", "x")
    assert "<details><summary>3 lines</summary><pre><code>{\n&lt;b&gt;" in text
    assert '<td class="long">word' in text and "<td>1</td>" in text
    assert text.count('<div class="wide"><table>') == text.count("</table></div>") == 1


def test_a_table_of_many_columns_is_set_smaller() -> None:
    head = [f"column {number}" for number in range(12)]
    assert '<table class="many">' in page(text_table(head, [["1"] * 12]), "x")
    assert '<table class="many">' not in page(text_table(head[:4], [["1"] * 4]), "x")
