from __future__ import annotations

from dataclasses import replace

import pytest

from state.commands import decode, encode, pending, send, wait_for
from state.exports import samples
from state.notes import (
    SetNote,
    flagged_questions,
    note_words,
    parse_note,
    question_named,
    set_notes,
    stored_notes,
)
from tests.state.world import World, question_rows


def noted(world: World) -> list[tuple[str, int | None, str, str]]:
    return [(note.question, note.sample, note.flag, note.text) for note in stored_notes(world.connection)]


@pytest.fixture
def sampled(world: World) -> World:
    world.store(world.claim(world.plan(rationales=2), 4))
    return world


@pytest.mark.parametrize(
    ("words", "flag", "text"),
    [
        ("gold is wrong", "gold is wrong", ""),
        (" Bad-Question : is it the 5th? ", "bad question", "is it the 5th?"),
        ("bad rationale:", "bad rationale", ""),
        ("look again: 5:30", "", "look again: 5:30"),
        ("", "", ""),
    ],
)
def test_a_note_is_written_as_it_is_read(words: str, flag: str, text: str) -> None:
    assert parse_note(words) == (flag, text)
    assert parse_note(note_words(flag, text)) == (flag, text)


def test_what_is_wrong_with_a_question_is_noted_once_for_all_its_samples(sampled: World) -> None:
    ids = [key for (key,) in sampled.rows("SELECT id FROM sample WHERE question_id = 1 ORDER BY id")]
    for number, sample in enumerate(ids):
        key = send(sampled.path, SetNote(sample=sample, flag="gold is wrong", text=str(number)))
        reply = wait_for(sampled.path, key, 0)
        assert (
            reply is not None and reply.done and reply.answer.startswith("noted about the question: gold is")
        )
    assert noted(sampled) == [("q0", None, "gold is wrong", "1")], "applied at once, without a daemon"
    assert not pending(sampled.connection)
    send(sampled.path, SetNote(sample=ids[0], flag="bad rationale"))
    send(sampled.path, SetNote(sample=ids[1], text="read again\ud800"))
    assert noted(sampled)[1:] == [("q0", ids[0], "bad rationale", ""), ("q0", ids[1], "", "read again\ufffd")]
    assert flagged_questions(sampled.connection, [1]) == {1} and not flagged_questions(
        sampled.connection, [2]
    )
    exported = {row["sample_id"]: row["notes"] for row in samples(sampled.connection)}
    assert exported[ids[0]] == ["gold is wrong: 1", "bad rationale"]
    assert [notes for key, notes in exported.items() if key not in ids] == [[], []]
    send(sampled.path, SetNote(sample=ids[0]))
    assert noted(sampled) == [("q0", ids[1], "", "read again\ufffd")], "its own, and that of its question"


def test_a_note_that_cannot_be_stored_leaves_nothing(sampled: World) -> None:
    for request, fault in (
        (SetNote(sample=99, text="x"), "no sample 99"),
        (SetNote(question=99, text="x"), "no question 99"),
        (SetNote(text="x"), "exactly one"),
        (SetNote(sample=1, question=1, text="x"), "exactly one"),
        (
            SetNote(sample=1, flag="dull"),
            "unknown flag 'dull'; known: gold is wrong, bad question, bad rationale",
        ),
        (SetNote(question=1, flag="bad rationale"), "name the sample"),
        (SetNote(sample=1, text="x" * 2_001), "at most 2,000 characters"),
    ):
        with pytest.raises(ValueError, match=fault):
            send(sampled.path, request)
    assert noted(sampled) == [] and sampled.rows("SELECT * FROM command") == []
    assert set_notes(sampled.connection, [SetNote(question=2)]) == ["nothing was noted there"]


def test_a_question_has_the_name_of_its_task_and_key(world: World) -> None:
    assert question_named(world.connection, "t/q1") == 2
    changed = question_rows(3)
    changed[1] = replace(changed[1], text="another text", text_hash="other")
    world.task("t", changed)
    assert question_named(world.connection, "t/q1") == 4, "the text that is asked now"
    for name in ("t", "t/", "u/q1", "t/q1/"):
        with pytest.raises(ValueError, match="expected TASK/KEY"):
            question_named(world.connection, name)


def test_a_note_in_a_row_of_another_program_is_read_too() -> None:
    request = SetNote(sample=4, flag="bad question", text="x")
    assert decode(*encode(request)) == request
    with pytest.raises(ValueError, match="sample is a number"):
        decode("note", {"sample": "4"})
