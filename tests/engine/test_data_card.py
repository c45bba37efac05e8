from __future__ import annotations

from dataclasses import replace

from markdown_it import MarkdownIt

from engine.data_card import MADE_BY, Card, CardPart, CardTask, CardTeacher, data_card

PART = CardPart(
    student="cot",
    scope="t",
    method="fine-tune-cot",
    label="gold",
    rows=1200,
    alone=200,
    questions=300,
    drops={"wrong answer": 41, "truncated": 2},
    digest="abc",
)
CARD = Card(
    file="set.parquet",
    form="think",
    version="0.1.0",
    parts=[PART],
    teachers=[
        CardTeacher(name="a", model="m", rows=1000, allowed=True),
        CardTeacher(name="b", model="n", rows=3, allowed=False),
    ],
    tasks=[CardTask(name="t", source="x.jsonl", answer_format="number")],
    excluded=["b"],
)


def test_a_card_says_what_is_in_it_what_was_excluded_and_whose_it_is() -> None:
    text = data_card(CARD)
    assert text.startswith("---\nlicense: other\n") and MADE_BY in text
    assert "| cot | t | fine-tune-cot | 1,200 | 200 | 300 | gold | `abc` |" in text
    assert "| cot | t | 41 | wrong answer |" in text and "| cot | t | 2 | truncated |" in text
    assert "| a | m | 1,000 | allowed |" in text and "| b | n | 3 | no longer allowed |" in text
    assert "| t | x.jsonl | number |" in text and "do not allow training: b." in text


def test_an_empty_set_has_a_card_too() -> None:
    text = data_card(replace(CARD, parts=[], teachers=[], tasks=[], excluded=[]))
    assert "0 rows" in text and text.count("None.") == 4


def test_names_of_others_stay_in_their_cell() -> None:
    hostile = "a | b\n| forged |<script>\x1b[2J"
    text = data_card(replace(CARD, teachers=[CardTeacher(name="t", model=hostile, rows=1, allowed=True)]))
    assert "\x1b" not in text
    page = MarkdownIt("commonmark").enable("table").render(text.split("---\n", 2)[2])
    assert "<script>" not in page and page.count("forged") == 1 and "<td>forged" not in page
