from __future__ import annotations

import math

import pytest

from engine.curation.align import Position, aligned, spans, taught_spans
from engine.teachers.dialects.logprobs import choice_logprobs
from state.logprobs import Logprobs, pack, unpack


def logprobs(tokens: list[str], others: dict[int, list[tuple[str, float]]] | None = None) -> Logprobs:
    """Each token has .5, and the others what is given."""
    top = tuple(
        ((token, math.log(0.5)), *((text, math.log(share)) for text, share in (others or {}).get(at, ())))
        for at, token in enumerate(tokens)
    )
    return Logprobs(tuple(tokens), (math.log(0.5),) * len(tokens), top)


def words(pieces: list[str]) -> dict[str, int]:
    return {piece: key for key, piece in enumerate(dict.fromkeys(pieces))}


def test_tokens_cover_the_text() -> None:
    pieces = [" Ann", ":", " he", "ads", ".", " -->", " yes", "<end>"]
    text = " Ann: heads. --> yes"
    found = spans(pieces, text)
    assert "".join(text[slice(*span)] for span in found if span) == text
    assert found[-1] is None


@pytest.mark.parametrize("broken", [["\ufffd", "\ufffd"], ["bytes:\\xc3", "bytes:\\xa9"]])
def test_a_piece_of_a_character_covers_none_and_the_others_go_on(broken) -> None:
    found = spans(["caf", *broken, " is", " open"], "café is open")
    assert found == [(0, 3), None, None, (4, 7), (7, 12)]


def test_nothing_is_covered_behind_another_text() -> None:
    assert spans(["a", "b", "x", "d"], "abcd") == [(0, 1), (1, 2), None, None]
    assert spans(["a", "\ufffd", "x"], "aéb") == [(0, 1), None, None]


@pytest.mark.parametrize("before", [[], ["Let", " me", " see.", "\n"], ["Well,"]])
def test_one_tokenizer_gives_each_token_of_the_rationale_its_distribution(before) -> None:
    """Whatever the teacher wrote before it; the answer of the student continues the same text, or it does not."""
    own = [" Ann", " flips", ",", " so", " tails", ".", " -->", " no"]
    text = "".join(own)
    other = {len(before) + 1: [(" waits", 0.25), (" unknown", 0.125)]}
    teacher = logprobs([*before, *own[:6], " So", " no"], other)
    vocabulary = words([*own, " waits"])
    taught = taught_spans(teacher.tokens, text, "Ann flips, so tails.")
    ids = [vocabulary[piece] for piece in own]
    found = aligned(ids, spans(own, text), taught, teacher, vocabulary)
    assert [position is not None for position in found] == [True] * 6 + [False] * 2
    assert found[0] == Position((0,), (pytest.approx(0.5),))
    assert found[1].ids == (1, 8) and found[1].shares == pytest.approx((0.5, 0.25)), (
        "an unknown word is in the tail"
    )


def test_another_tokenizer_gives_what_covers_the_same_characters() -> None:
    own = [" An", "n", " flips", " tails", "."]
    text, rationale = "".join(own), "Ann flips tails."
    teacher = logprobs(["Ann", " flips", " ", "tails", "."])
    taught = taught_spans(teacher.tokens, text, rationale)
    found = aligned([0, 1, 2, 3, 4], spans(own, text), taught, teacher, words(own))
    assert [position and position.ids for position in found] == [None, None, (2,), None, (4,)]


def test_a_rationale_that_the_teacher_did_not_write_has_no_distribution() -> None:
    assert not any(taught_spans(["Bob", " waits."], " Ann waits.", "Ann waits."))
    assert not any(taught_spans(["Bob", " waits."], " Ann waits.", ""))


def test_an_arrow_that_was_taken_out_ends_what_is_known() -> None:
    """Methods write `->` for an arrow in a rationale."""
    teacher = ["First", " this", ".", " -->", " then", " that", "."]
    found = taught_spans(teacher, " First this. -> then that. --> yes", "First this. --> then that.")
    assert [span is not None for span in found] == [True] * 3 + [False] * 4


TOKENS, OTHERS = ["Ann", " flips", ".", "<|im_end|>"], ["Bob", " waits", "!", "\n"]
CHAT = {
    "logprobs": {
        "content": [
            {
                "token": token,
                "logprob": -0.5,
                "bytes": list(token.encode()),
                "top_logprobs": [
                    {"token": each, "logprob": value, "bytes": list(each.encode())}
                    for each, value in ((token, -0.5), (other, -1.5))
                ],
            }
            for token, other in zip(TOKENS, OTHERS, strict=True)
        ]
    }
}
COMPLETIONS = {
    "logprobs": {
        "tokens": TOKENS,
        "token_logprobs": [-0.5] * 4,
        "top_logprobs": [{token: -0.5, other: -1.5} for token, other in zip(TOKENS, OTHERS, strict=True)],
        "text_offset": [0, 3, 9, 10],
    }
}


@pytest.mark.parametrize("choice", [CHAT, COMPLETIONS])
def test_what_a_server_sends_in_either_form_is_aligned(choice) -> None:
    """As vLLM does: with the end token, and for a chat the bytes of each token. It goes through its stored form."""
    known = choice_logprobs(choice)
    assert known is not None
    stored = unpack(pack(known))
    own = ["Ann", " flips", ".", " -->", " yes", "<|im_end|>"]
    vocabulary = words([*own, *OTHERS])
    taught = taught_spans(stored.tokens, "".join(own[:-1]), "Ann flips.")
    found = aligned(list(range(6)), spans(own, "".join(own[:-1])), taught, stored, vocabulary)
    assert [position and position.ids for position in found] == [(0, 6), (1, 7), (2, 8), None, None, None]
    assert found[0] is not None and found[0].shares == pytest.approx(
        (math.exp(-0.5), math.exp(-1.5)), abs=1e-3
    )


def test_probabilities_are_no_more_than_one() -> None:
    teacher = Logprobs(("a",), (math.log(0.7),), ((("a", math.log(0.7)), ("b", math.log(0.4))),))
    (found,) = aligned([0], [(0, 1)], [(0, 1)], teacher, {"a": 0, "b": 1})
    assert sum(found.shares) == pytest.approx(1.0)
