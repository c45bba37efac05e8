from __future__ import annotations

import pytest

from engine.students import template
from engine.students.template import CONTINUED, TRANSLATED


def test_the_format_is_the_papers() -> None:
    assert CONTINUED.prompt(" How many? \n") == "How many? ###"
    assert CONTINUED.completion("Two and two.", "4") == " Two and two. --> 4 END"
    assert CONTINUED.completion(None, "4") == " 4 END"
    assert TRANSLATED.prompt(" How many? \n") == "How many?"
    assert TRANSLATED.completion(" Two and two. ", "4 ") == "Two and two. --> 4"
    assert TRANSLATED.completion(None, "4") == "4"


@pytest.mark.parametrize("answer", ["4", "(B)", "yes", "12/25/2019", "the ENDING of it", "1 --> 2"])
@pytest.mark.parametrize("rationale", [None, "Two and two.", "So a --> b, the END.", "one\nEND\ntwo"])
def test_what_is_written_is_read_back(rationale, answer) -> None:
    alone = TRANSLATED.completion(rationale, answer)
    text = CONTINUED.completion(rationale, answer)
    assert template.parse(alone, rationale=rationale is not None) == answer
    assert template.parse(text, rationale=rationale is not None) == answer
    assert template.parse(text + " 5 --> 6 END", rationale=rationale is not None) == answer


@pytest.mark.parametrize(
    ("text", "rationale", "answer"),
    [
        (" It is 4 --> 4", True, "4"),
        (" It is 4, so the answer is 4 END", True, None),
        (" It is 4 -->", True, None),
        (" --> END", True, None),
        ("", True, None),
        (" 4", False, "4"),
        (" END 4", False, None),
        (" 4 ENDING", False, "4 ENDING"),
    ],
)
def test_a_text_without_an_answer_has_none(text, rationale, answer) -> None:
    assert template.parse(text, rationale=rationale) == answer
