from __future__ import annotations

from engine.methods import METHODS, Asking
from engine.students.conversations import converse
from engine.students.room import Completion

SOCRATIC = METHODS["socratic"]


def writes(asked, temperature):
    """A student that asks as many sub-questions as the question has letters; the waves are kept in `waves`."""
    waves.append(list(asked))
    found = []
    for each in asked:
        asks = sum(role == "ask" for role, _ in each.turns)
        said = {"ask": f"{asks}?" if asks < len(each.question) else "done", "solve": "so", "answer": "4"}
        found.append(Completion(said[each.role], ended=True, prompt_tokens=10, tokens=2, flops=3.0))
    return found


waves: list[list[str | Asking]] = []


def test_a_method_of_one_turn_is_asked_as_ever() -> None:
    given = []

    def write(asked, temperature):
        given.append((asked, temperature))
        return [Completion(each) for each in asked]

    questions = ["a", "b"]
    for method in (None, METHODS["fine-tune-cot"]):
        assert converse(method, "none", write, questions, 0.5) == [Completion("a"), Completion("b")]
    assert given == [(questions, 0.5)] * 2 and given[0][0] is questions


def test_each_wave_writes_the_next_turn_of_all_that_have_one() -> None:
    waves.clear()
    found = converse(SOCRATIC, "none", writes, ["a", "ccc"], None)
    assert [len(wave) for wave in waves] == [2, 2, 2, 2, 1, 1, 1, 1]
    assert [each.text.splitlines()[-1] for each in found] == ["Answer: 4", "Answer: 4"]
    assert [SOCRATIC.parse(each.text) for each in found] == ["4", "4"]
    assert [(each.turns, each.prompt_tokens, each.tokens, each.flops) for each in found] == [
        (4, 40, 8, 12.0),
        (8, 80, 16, 24.0),
    ]
    assert all(each.ended for each in found)


def test_the_order_of_questions_changes_nothing() -> None:
    questions = ["a", "ccc", "bb", ""]
    by_question = dict(zip(questions, converse(SOCRATIC, "none", writes, questions, None), strict=True))
    again = converse(SOCRATIC, "none", writes, questions[::-1], None)
    assert again == [by_question[each] for each in questions[::-1]]


def test_a_turn_that_was_cut_or_not_asked_ends_a_conversation_without_an_answer() -> None:
    def cut(asked, temperature):
        return [
            Completion("so 2 +", ended=False) if each.role == "solve" else writes([each], temperature)[0]
            for each in asked
        ]

    [found] = converse(SOCRATIC, "none", cut, ["a"], None)
    assert (found.text, found.ended) == ("Sub-question: 0?\nSolution: so 2 +", False)
    assert SOCRATIC.parse(found.text) is None

    def full(asked, temperature):
        return [
            Completion(unasked="not asked: too long") if each.turns else writes([each], temperature)[0]
            for each in asked
        ]

    [found] = converse(SOCRATIC, "none", full, ["a"], None)
    assert (found.unasked, found.text) == ("not asked: too long (with its turns)", "Sub-question: 0?")
    none = converse(SOCRATIC, "none", lambda asked, _: [Completion(unasked="no") for _ in asked], ["a"], None)
    assert none[0].unasked == "no"
