from __future__ import annotations

import pytest

from engine.config.students import StudentConfig
from engine.methods import METHODS, Asking, RowSettings, TrainingQuestion, TrainRow
from engine.methods.socratic import MOST
from tests.engine.methods.test_methods import Rationale, question

METHOD = METHODS["socratic"]
LINES = "How many now? ** 2 + 3 = 5.\nAnd then? ** 5 - 1 = 4."


def made(**settings: str) -> list[TrainRow]:
    asked = question(1, Rationale(7, LINES), Rationale(8, "We add."))
    return list(METHOD.rows([asked], RowSettings(**settings)))


def test_a_row_is_one_question_with_its_turns() -> None:
    [row] = made()
    assert (row.sample_id, row.rationale, row.answer, row.part) == (7, LINES, "yes", "")
    assert row.turns == (
        ("ask", "How many now?"),
        ("solve", "2 + 3 = 5."),
        ("ask", "And then?"),
        ("solve", "5 - 1 = 4."),
        ("ask", "done"),
        ("answer", "yes"),
    )
    assert METHOD.target(row) == (
        "Sub-question: How many now?\nSolution: 2 + 3 = 5.\nSub-question: And then?\nSolution: 5 - 1 = 4.\n"
        "Sub-question: done\nAnswer: yes"
    )
    assert METHOD.parse(METHOD.target(row)) == "yes"
    assert METHOD.parse("Answer: 3\nSub-question: done") is None


def test_guidance_is_a_turn_of_the_asker_before_its_first() -> None:
    assert [made(guidance=each)[0].turns[0] for each in ("steps", "equations")] == [
        ("plan", "2"),
        ("plan", "2+3=5; 5-1=4"),
    ]


def test_parts_learn_the_turns_of_their_roles() -> None:
    [row] = made(part="ask")
    assert row.part == "ask" and METHOD.roles_of("ask") == {"plan", "ask"}
    assert METHOD.roles_of("solve") == {"solve", "answer"}
    assert METHOD.roles_of("") == METHOD.roles_of("ask") | METHOD.roles_of("solve") == set(METHOD.roles)


def test_what_is_no_conversation_is_left_out_with_its_reason() -> None:
    assert METHOD.unfit(LINES) is None
    assert METHOD.unfit("We add.") == "not in sub-questions"
    assert METHOD.unfit("\n".join(f"q{n}? ** s" for n in range(13))) == "more than 12 sub-questions"
    assert METHODS["fine-tune-cot"].unfit("We add.") is None


def test_the_data_s_own_sub_questions_are_rows_too() -> None:
    given = [
        TrainingQuestion(question_id=1, question="q", gold="4", rationale=LINES),
        TrainingQuestion(question_id=2, question="q", gold="4", rationale="We add."),
    ]
    [row] = METHODS["socratic-golden"].rows(given, RowSettings())
    assert row.sample_id is None and row.turns == (*made()[0].turns[:-1], ("answer", "4"))


def talk(says, guidance: str = "none") -> tuple[list[Asking], tuple[tuple[str, str], ...]]:
    """A conversation with a student that writes `says(asking)`."""
    going, asked = METHOD.converse("q", guidance), []
    try:
        asking = next(going)
        while True:
            asked.append(asking)
            asking = going.send(says(asking))
    except StopIteration as end:
        return asked, end.value


def test_at_inference_the_turns_stand_as_they_were_trained() -> None:
    [row] = made(guidance="steps")
    given = iter(text for _, text in row.turns)
    asked, turns = talk(lambda _asking: next(given), "steps")
    assert turns == row.turns
    for place, each in enumerate(asked):
        assert (each.question, each.role, each.turns) == ("q", row.turns[place][0], row.turns[:place])


@pytest.mark.parametrize("last", ["done", " Done ", "and what now?", ""])
def test_done_and_a_repeated_question_end_it(last: str) -> None:
    given = iter(["And what now?", "5", last, "42"])
    _, turns = talk(lambda _asking: next(given))
    assert turns == (("ask", "And what now?"), ("solve", "5"), ("ask", "done"), ("answer", "42"))


def test_a_conversation_that_is_never_done_ends_by_its_limit() -> None:
    asked, turns = talk(lambda asking: f"{asking.role} {len(asking.turns)}?")
    assert len(asked) == 2 * MOST + 1 and MOST == 12
    assert turns[-2:] == (("ask", "done"), ("answer", "answer 25?"))


def test_settings_that_a_method_has_not_are_refused() -> None:
    def refused(match: str, **settings: str) -> None:
        with pytest.raises(ValueError, match=match):
            StudentConfig(name="s", **settings)

    refused('guidance = "steps" needs method = socratic', guidance="steps")
    refused("part: fine-tune-cot is one model; method = socratic or socratic-golden has parts", part="ask")
    refused("socratic has no part 'anser'|no part", method="socratic", part="anser")
    refused("builtin:nano-t5 is an encoder-decoder", method="socratic", base="builtin:nano-t5")
    student = StudentConfig(name="s", method="socratic", part="ask", guidance="equations")
    assert (student.part, student.guidance) == ("ask", "equations")
