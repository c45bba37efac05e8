"""The answers of exported students: by transformers, continuously, or by a server, are the same answers."""

from __future__ import annotations

import json

import pytest

from engine.config.students import EvaluationConfig
from tests.engine.students.runs import events


def answers(run) -> list[dict]:
    return [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]


def greedy(run) -> list[tuple]:
    names = ("question_id", "split", "text", "extracted", "correct", "reason")
    return [tuple(answer[name] for name in names) for answer in answers(run)]


def notes(run) -> list[str]:
    return [event["message"] for event in events(run, "note")]


def test_a_server_answers_as_transformers_does(alone) -> None:
    static, served = alone.runs["static"], alone.runs["served"]
    assert greedy(served) == greedy(static)
    assert len({answer["text"] for answer in answers(static)}) > 4
    room, note = notes(served)
    assert room.startswith(
        "1 of 10 test questions are longer than the student's context (up to 2,401 tokens)"
    )
    assert notes(static) == [room]
    assert note.startswith("the server at http://127.0.0.1:")
    assert note.endswith("student.partial)")


@pytest.mark.parametrize("name", ["static", "served"])
def test_sampled_answers_are_kept_with_each_test_question(alone, name) -> None:
    found = answers(alone.runs[name])
    assert {len(answer["votes"]) for answer in found if answer["split"] == "test"} == {3}
    assert all(answer["votes"] is None for answer in found if answer["split"] == "dev")
    tested = [event for event in events(alone.runs[name], "eval") if event["split"] == "test"]
    assert {event["majority_of"] for event in tested} == {3}
    assert (
        "The majority of 3 sampled answers per question"
        in (alone.runs[name] / "student" / "README.md").read_text()
    )


def test_continuous_batches_answer_as_single_questions(alone) -> None:
    assert greedy(alone.runs["continuous"]) == greedy(alone.runs["one by one"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("failing", "the evaluation server did not answer"),
        ("no server", "the evaluation server cannot be started"),
        ("no url", "no server answers at http://127.0.0.1:9/v1/models"),
    ],
)
def test_without_its_server_a_student_is_evaluated_all_the_same(alone, name, words) -> None:
    assert greedy(alone.runs[name]) == greedy(alone.runs["static"])
    assert any(
        note.startswith(words) and note.endswith("transformers evaluates the student")
        for note in notes(alone.runs[name])
    )


def test_encoder_decoders_are_evaluated_here(alone) -> None:
    assert alone.codes["served t5"] == 0
    said = " ".join(notes(alone.runs["served t5"]))
    assert "this student is an encoder-decoder" in said and "static batches" in said


def test_a_server_needs_to_know_what_to_load() -> None:
    with pytest.raises(ValueError, match=r"needs \{student\}"):
        EvaluationConfig(server_command=["vllm", "serve"])
    with pytest.raises(ValueError, match="remove server_url"):
        EvaluationConfig(server_command=["vllm", "{student}"], server_url="http://127.0.0.1:1/v1")
