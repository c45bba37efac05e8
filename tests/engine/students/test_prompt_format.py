from __future__ import annotations

from engine.students.prompt_format import CONTINUED, TRANSLATED


def test_the_format_is_the_papers() -> None:
    assert CONTINUED.prompt(" How many? \n") == "How many? ###"
    assert CONTINUED.completion("Two and two. --> 4") == " Two and two. --> 4 END"
    assert TRANSLATED.prompt(" How many? \n") == "How many?"
    assert TRANSLATED.completion("Two and two. --> 4") == "Two and two. --> 4"
