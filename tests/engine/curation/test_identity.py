"""What is the same question, and what is another one."""

from __future__ import annotations

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.curation.identity import identity

SAME = [
    ("Joan found 70 seashells on the beach .", "joan found 70  seashells on the beach"),
    ("It costs $1,250.", "it costs 1250"),
    ("Sam's \"cat\" isn’t here", "Sams cat isn't here"),
    ("Jason 's cards do n't count .", "Jason's cards don't count."),
    ("Tom ran; then, he sat.", "Tom ran then he sat"),
    ("Is it — yes, or no?", "Is it yes or no"),
    ("A well-known 5-year plan (from 1990)", "a well known 5 year plan, from 1990"),
    ("What is １２？", "what is 12"),
    ("x - 3 = 4", "X−3=4"),
    ("(3 + 4) * 2", "(3+4)×2"),
    ("ratio 2 : 3", "ratio 2:3"),
    ("-5 degrees", "– 5 degrees."),
    ("पानी क्या है?", "पानी क्या है ।"),
    ("水とは何ですか。", "水とは何ですか？"),
    ("Which? Answer choices: (A) ignore, (B) yell at, (C) avoid.", "Which?\nOptions:\nA. avoid\nB. Yell at\nC. ignore\n"),
    ("Which? (A) 5(√3 + 1), (B) 6, (C) 7(√3 – 1).", "Which?  [A] 7(√3 − 1) [B] 5 (√3+1) [C] 6"),
    ("Q? A)5,B)6,C)7", "Q? (1) 7 (2) 5 (3) 6"),
    ("Q?\n(a) x\n(b) vitamin a.\nAnswer:", "Q?\n(a) Vitamin A\n(b) X\nAnswer:"),
    ("Choices: A: up B: down", "choices: A: down B: up"),
]  # fmt: skip
OTHERS = [
    ("What is 3 + 4?", "What is 3 - 4?"),
    ("3.5 apples", "35 apples"),
    ("3.5", "3, 5"),
    ("1 23", "12 3"),
    (".5", "5"),
    ("at 3:45", "at 345"),
    ("-5", "5"),
    ("solve -x = 3", "solve x = 3"),
    ("(3 + 4) * 2", "3 + (4 * 2)"),
    ("10 - 4 - 2", "10 - (4 - 2)"),
    ("(-2)^2", "-2^2"),
    ("sqrt(x+1)", "sqrt(x)+1"),
    ("2²", "22"),
    ("1/2", "12"),
    ("20% of 5", "20 of 5"),
    ("x < 3", "x > 3"),
    ("x ≤ 3", "x ≥ 3"),
    ("5!", "5"),
    ("on [0,1)", "on (0,1]"),
    ("f'(2)", "f(2)"),
    ("√3", "3"),
    ("की", "का"),
    ("A gives B a ball", "B gives A a ball"),
    ("Q (A) 1 (B) 2", "Q (A) 1 (B) 3"),
    ("Q (A) 1 (B) 2", "Q (A) 1 (B) 2 (C) 3"),
    ("Q (A) 1 (B) 2", "R (A) 1 (B) 2"),
    ("?", "!"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spelling_and_order_make_no_other_question(one: str, other: str) -> None:
    assert identity(one) == identity(other)


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_what_can_change_the_answer_makes_another_question(one: str, other: str) -> None:
    assert identity(one) != identity(other)


WORDS = st.lists(st.text(string.ascii_letters, min_size=2, max_size=8), min_size=1, max_size=4).map(" ".join)


@given(
    st.lists(WORDS, min_size=2, max_size=9),
    WORDS,
    st.randoms(),
    st.sampled_from(["({})", "{})", "[{}]", "{}.", "{}:"]),
)
def test_options_in_any_order_and_style(options: list[str], stem: str, rng: object, style: str) -> None:
    def written(given: list[str], form: str, between: str) -> str:
        labels = [form.format(string.ascii_uppercase[index]) for index in range(len(given))]
        return f"{stem}?\n" + between.join(
            f"{label} {text}" for label, text in zip(labels, given, strict=True)
        )

    shuffled = list(options)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert identity(written(options, "({})", ", ")) == identity(written(shuffled, style, "\n"))
    changed = [*options[:-1], options[-1] + " zzz"]
    assert identity(written(options, "({})", ", ")) != identity(written(changed, style, "\n"))


@given(st.text())
def test_case_and_spaces_never_count_and_any_text_has_a_form(text: str) -> None:
    form = identity(text)
    assert identity(f"  {text}\n ") == form or "\n" in text
    assert form or not any(map(str.isalnum, text))


def test_a_hostile_text_takes_no_long_time() -> None:
    started = time.process_time()
    for text in ("(A)(B)x(C)" * 20_000, "(" * 100_000, "a-" * 100_000, "1," * 100_000, " ( ( " * 50_000):
        identity(text)
    assert time.process_time() - started < 5
