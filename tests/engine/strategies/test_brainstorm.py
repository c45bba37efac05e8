from __future__ import annotations

import pytest

from engine.question import Question
from engine.strategies import Conversation, Panel, Settings, strategy
from engine.strategies.brainstorm import CUT
from engine.teachers.messages import Completion, Usage

QUESTION = Question(key="q", text="How many?", answer="4", split="train")
FIRST = (
    "How many?\n\nThink step by step. Then end with one last line of the form\nAnswer: X\nwhere X is a number in digits, and"
    " nothing else."
)


def said(text: str, **more) -> Completion:
    return Completion(
        text=text, usage=Usage(prompt_tokens=1, completion_tokens=1), finish_reason="stop", **more
    )


def panel(
    members: int = 3, rounds: int = 3, characters: int = 1200, answer: str = "number"
) -> list[Conversation]:
    return [
        Conversation(
            strategy("brainstorm"),
            QUESTION,
            Settings(
                answer_format=answer,
                max_tokens=64,
                panel=Panel(member=member, members=members, rounds=rounds, peer_characters=characters),
            ),
        )
        for member in range(members)
    ]


def prompt(conversation: Conversation) -> str:
    assert conversation.request is not None
    [message] = conversation.request.messages
    return message.content


def play(talks: list[Conversation], *rounds: list[str]) -> list[int]:
    """Answers round by round; the number of calls of each."""
    calls = [0] * len(talks)
    for turn, texts in enumerate(rounds):
        replies = []
        for member, (talk, text) in enumerate(zip(talks, texts, strict=True)):
            assert talk.request is not None and talk.hears is None
            talk.answer(said(text))
            assert talk.request is None and talk.hears == turn
            replies.append((member, said(text)))
            calls[member] += 1
        for talk in talks:
            talk.hear(tuple(replies))
    return calls


def test_each_reads_the_others_and_never_itself_as_another() -> None:
    talks = panel()
    assert [prompt(each) for each in talks] == [FIRST] * 3
    play(talks, ["mine 0\nAnswer: 4", "mine 1\nAnswer: 5", "mine 2\nAnswer: 4"])
    assert prompt(talks[1]) == (
        "How many?\n\nYour last answer:\nmine 1\nAnswer: 5\n\nOthers were asked the same question. Their solutions:\n\n"
        "Solution 1:\nmine 0\nAnswer: 4\n\nSolution 2:\nmine 2\nAnswer: 4\n\nSolutions can be wrong, yours too. Compare"
        " them, and think again step by step. Then end with one last line of the form\nAnswer: X\nwhere X is a number in"
        " digits, and nothing else."
    )
    for member, talk in enumerate(talks):
        before, after = prompt(talk).split("Others were asked")
        assert f"mine {member}" in before and f"mine {member}" not in after
        assert all(f"mine {other}" in after for other in range(3) if other != member)


def test_it_ends_when_all_agree_whatever_they_write() -> None:
    talks = panel()
    assert (
        play(
            talks,
            ["a\nAnswer: 4", "b\nAnswer: 5", "c\nAnswer: 6"],
            ["d\nAnswer: 5", "e\nAnswer: 5.0", "f\nAnswer: $5"],
        )
        == [2] * 3
    )
    for talk, text in zip(talks, "def", strict=True):
        assert talk.finished is not None and talk.request is None
        assert (talk.finished.rationale, talk.finished.flags) == (text, ("consensus",))


def test_the_last_round_ends_it_without_another_request() -> None:
    talks = panel(rounds=2)
    assert (
        play(
            talks,
            ["a\nAnswer: 4", "b\nAnswer: 5", "c\nAnswer: 6"],
            ["d\nAnswer: 4", "e\nAnswer: 5", "f\nAnswer: 5"],
        )
        == [2] * 3
    )
    assert [talk.finished and talk.finished.flags for talk in talks] == [("no-consensus",)] * 3
    assert [talk.finished and talk.finished.answer for talk in talks] == ["4", "5", "5"]


def test_nobody_agrees_by_saying_nothing() -> None:
    talks = panel(members=2)
    play(talks, ["I do not know", "I do not know"])
    assert all(talk.request is not None for talk in talks)


@pytest.mark.parametrize("answer", ["number", "choice", "yes_no", "text", "date", "math", "interval"])
def test_what_agrees_is_read_without_the_gold_answer(answer: str) -> None:
    text = {
        "choice": "B",
        "yes_no": "no",
        "date": "03/02/2001",
        "interval": "[1, 2]",
        "math": "\\frac{1}{3}",
    }.get(answer, "17")
    talks = panel(members=2, answer=answer)
    play(talks, [f"a\nAnswer: {text}", f"b\nAnswer: {text}"])
    assert [talk.finished and talk.finished.flags for talk in talks] == [("consensus",)] * 2


def test_who_was_given_up_is_not_heard_and_the_last_one_is_alone() -> None:
    talks = panel()
    first = said("a\nAnswer: 4")
    talks[0].answer(first)
    talks[0].hear(((0, first), (2, said("c\nAnswer: 5"))))
    assert "Solution 1:\nc" in prompt(talks[0]) and "Solution 2" not in prompt(talks[0])
    talks[0].answer(said("d\nAnswer: 5"))
    talks[0].hear(((0, said("d\nAnswer: 5")),))
    assert talks[0].finished is not None and talks[0].finished.flags == ("alone",)


def test_the_end_of_long_reasoning_is_kept() -> None:
    talks = panel(members=2, characters=60)
    long = "start " + "x" * 100 + " end\nAnswer: 4"
    play(talks, [long, "b\nAnswer: 5"])
    heard = prompt(talks[1]).partition("Solution 1:\n")[2].partition("\n\nSolutions can")[0]
    assert len(heard) == 60 and heard.startswith(CUT) and heard.endswith("end\nAnswer: 4")
    assert long in prompt(talks[0])  # one's own is whole


def test_replayed_it_is_the_same_conversation() -> None:
    talks = panel()
    rounds = [
        ["a\nAnswer: 4", "b\nAnswer: 5", "c\nAnswer: 6"],
        ["d\nAnswer: 4", "e\nAnswer: 5", "f\nAnswer: 4"],
    ]
    play(talks, *rounds)
    again = panel()
    play(again, *rounds)
    assert [prompt(each) for each in again] == [prompt(each) for each in talks]


def test_nothing_is_answered_or_heard_out_of_turn() -> None:
    [talk, _] = panel(members=2)
    with pytest.raises(ValueError, match="waits for nobody"):
        talk.hear(())
    talk.answer(said("a\nAnswer: 4"))
    with pytest.raises(ValueError, match="waits for its peers"):
        talk.answer(said("b"))
    talk.hear(())
    with pytest.raises(ValueError, match="has finished"):
        talk.answer(said("b"))
