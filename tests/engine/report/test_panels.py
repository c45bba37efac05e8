from __future__ import annotations

from engine.report.panels import panels
from state.panels import RoundAnswer
from state.results import Results, TaskResult

TASK = TaskResult(id=1, name="t", answer_format="number", train=3, dev=0, test=0, questions=())


def said(
    question: int, replicate: int, member: int, turn: int, answer: str | None, *flags: str
) -> RoundAnswer:
    return RoundAnswer(
        panel="talk",
        task="t",
        split="train",
        question_id=question,
        replicate=replicate,
        member=member,
        turn=turn,
        teacher="abc"[member],
        answer=answer,
        micros=100,
        flags=flags,
    )


def results(*rounds: RoundAnswer, gold: str = "4") -> Results:
    return Results(
        tasks=(TASK,), plans=(), runs=(), failed=(), config={}, boots=1, spent_usd=0.0, unknown_attempts=0,
        prompt_tokens=0, completion_tokens=0, rounds=rounds, golds={1: ("q", gold), 2: ("r", gold)},
    )  # fmt: skip


def panel(question: int, replicate: int, *turns: str, flag: str = "consensus") -> list[RoundAnswer]:
    return [
        said(question, replicate, member, turn, None if answer == "-" else answer, flag)
        for turn, answers in enumerate(turns)
        for member, answer in enumerate(answers)
    ]


def row(found: str) -> list[str]:
    return [cell.strip() for cell in found.splitlines()[2].strip("|").split("|")]


def test_accuracy_by_round_calls_dollars_and_votes_of_as_many_answers() -> None:
    """The first panel ends at once, the second convinces itself, the third is talked out of what is right."""
    rounds = [
        *panel(1, 0, "444"),
        *panel(1, 1, "454", "444"),
        *panel(2, 0, "445", "555", "555", flag="no-consensus"),
    ]
    assert row(panels(results(*rounds))) == [
        *("talk", "t", "train", "3"),
        *("100.0", "66.7", "66.7"),  # a panel that ended keeps its answer
        *("100.0", "5.0", "66.7", "6.00", "0.00060"),
    ]


def test_without_gold_answers_nothing_is_right_or_wrong() -> None:
    assert row(panels(results(*panel(1, 0, "4-4", "444"), gold=""))) == [
        *("talk", "t", "train", "1", "–", "–", "–", "3.0", "100.0", "6.00", "0.00060"),
    ]
    assert panels(results()) == ""
