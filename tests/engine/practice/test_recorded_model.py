from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from engine.errors import TaskDataError, UsageError
from engine.practice.recorded_model import RecordedModel
from engine.practice.simulated_model import CompletionRequest, UnknownQuestion
from engine.teachers.classify import classify_status
from engine.teachers.failures import NOT_RECORDED
from tests.engine.practice.serving import teacher


def write(path: Path, *rows: object) -> Path:
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


LOG = {"question": "What is  2 + 3?", "rationale": " \n\n2 + 3 = 5.", "final": " 5."}
SAMPLES = [
    {"question": "How old is Ann?", "strategy": "zero-shot-cot", "replicate": i, "rationale": f"Way {i}.", "answer": f" {i}.", "teacher": "t"}
    for i in range(3)
]  # fmt: skip


def prompt(question: str) -> str:
    return f"Q: {question}\nA: Let's think step by step."


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz"])
async def test_logs_answer_the_two_steps_verbatim(tmp_path: Path, name: str) -> None:
    async with teacher(replay=(write(tmp_path / name, LOG),)) as client:
        first = await client.text(prompt("What is 2 + 3?"), max_tokens=2, model="text-davinci-002")
        assert first.texts == [LOG["rationale"]]
        assert first.json["choices"][0]["finish_reason"] == "stop"
        second = await client.text(f"{prompt('What is 2 + 3?')}{LOG['rationale']}\nTherefore, the answer is")
        assert second.texts == [LOG["final"]]
        chat = await client.chat("What is 2 + 3?\nEnd with a line `Answer: …`.")
        assert chat.texts == [" \n\n2 + 3 = 5.\nAnswer: 5."]
        unknown = await client.text(prompt("What is 3 + 3?"))
        assert unknown.status == 404 and "recorded questions" in unknown.json["error"]["message"]
        failure = classify_status(404, unknown.headers, unknown.body, wall=0.0)
        assert (failure.kind, failure.blame) == ("permanent", "recording")
        assert failure.reason.startswith(NOT_RECORDED)


@pytest.mark.anyio
async def test_exported_samples_are_taken_in_turn(tmp_path: Path) -> None:
    async with teacher(replay=(write(tmp_path / "s.jsonl", *SAMPLES),)) as client:
        ask = prompt("How old is Ann?")
        assert [(await client.chat(ask, temperature=0.7)).texts[0] for _ in range(4)] == ["Way 0.", "Way 1.", "Way 2.", "Way 0."]  # fmt: skip
        assert [(await client.chat(ask, temperature=0)).texts[0] for _ in range(2)] == ["Way 0."] * 2
        assert (await client.chat(ask, temperature=0.7, seed=2)).texts == ["Way 2."]
        assert (await client.chat(ask, temperature=0.7, seed=0, n=3)).texts == ["Way 0.", "Way 1.", "Way 2."]
        second = await client.chat(f"{ask} Way 1.\nTherefore, the answer is", temperature=0.7)
        assert second.texts == [" 1."]


def ask(model: RecordedModel, text: str) -> str:
    return model.reply(CompletionRequest(prompt=text, temperature=0)).text


def test_the_question_is_found_whatever_stands_around_it(tmp_path: Path) -> None:
    rows = [
        {"question": "How many?", "rationale": "short", "answer": "1"},
        {"question": "Ann has 3 pens. How many?", "rationale": "long", "answer": "3"},
        {"question": "Why", "rationale": "one word", "answer": "x"},
    ]
    model = RecordedModel([write(tmp_path / "r.jsonl", *rows)])
    assert len(model) == 3
    assert ask(model, 'Solve: "ANN has 3\npens.  How many?" Think.') == "long"
    assert ask(model, "Bob has 3 pens. How many? Think.") == "short"
    assert ask(model, "why") == "one word"
    with pytest.raises(UnknownQuestion):
        ask(model, "Ann has 3 pens.")


def test_editions_differ_in_their_marks_and_arithmetic_does_not(tmp_path: Path) -> None:
    row = {"question": "What is “true” ? Choices: (A) red ball. (B) 2 + 3?", "rationale": "r", "answer": "A"}
    model = RecordedModel([write(tmp_path / "r.jsonl", row)])
    assert model.knows('What is "true"? choices: (A) red ball, (B) 2 + 3?')
    assert not model.knows('What is "true"? choices: (A) red ball, (B) 2 - 3?')
    assert not model.knows('What is "true"? choices: (A) red ball, (B) 2 + 3 + 4?')


def test_several_files_are_one_recording(tmp_path: Path) -> None:
    one = write(tmp_path / "a.jsonl", LOG, SAMPLES[0])
    model = RecordedModel([one, write(tmp_path / "b.jsonl.gz", *SAMPLES[1:])])
    assert len(model) == 4 and model.knows("how old is Ann?") and not model.knows("How old?")
    texts = [
        model.reply(CompletionRequest(prompt="How old is Ann?", temperature=0.7, turn=turn)).text
        for turn in range(3)
    ]
    assert texts == ["Way 0.", "Way 1.", "Way 2."]
    with pytest.raises(TaskDataError, match=r"empty\.jsonl: no recorded completions"):
        RecordedModel([one, write(tmp_path / "empty.jsonl")])


def test_of_equal_questions_the_last_is_asked(tmp_path: Path) -> None:
    rows = [{"question": f"Is {word} red ?", "rationale": word, "answer": "x"} for word in ("ann", "bob")]
    model = RecordedModel([write(tmp_path / "r.jsonl", *rows)])
    assert ask(model, "Q: Is ann red ?\nA: So.\n\nQ: Is bob red ?\nA:") == "bob"
    assert ask(model, "Q: Is bob red ?\nA: So.\n\nQ: Is ann red ?\nA:") == "ann"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not valid JSON"),
        ('{"rationale": "a", "final": "b"}', "question: missing"),
        ('{"question": " ", "rationale": "a", "final": "b"}', "question: empty"),
        ('{"question": "q", "final": "b"}', "rationale: missing"),
        ('{"question": "q", "rationale": "a"}', r"final: required \(or `answer`\)"),
        ('{"question": "q", "rationale": "a", "final": null}', "final: expected a string, got null"),
        ('{"question": "q", "rationale": "a", "answer": 3}', "answer: expected a string, got a number"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(f"{json.dumps(LOG)}\n{line}\n")
    with pytest.raises(TaskDataError, match=rf"r\.jsonl:2: {reason}"):
        RecordedModel([path])


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match="no such file"):
        RecordedModel([tmp_path / "none.jsonl"])
    with pytest.raises(TaskDataError, match="no recorded completions"):
        RecordedModel([write(tmp_path / "empty.jsonl")])
    with pytest.raises(UsageError, match=r"expected a file that ends with \.jsonl"):
        RecordedModel([tmp_path / "x.csv"])


def test_the_papers_questions_are_those_of_the_log(recorded: Path) -> None:
    """Seven tenths of them, also where the log writes the options otherwise."""
    for name, known in (("coin_flip", 350), ("tracking_shuffled_objects", 525), ("multiarith", 420)):
        model = RecordedModel([recorded / "teacher" / f"{name}.jsonl.gz"])
        questions = []
        for split in ("train", "test"):
            with gzip.open(recorded / "tasks" / f"{name}.{split}.jsonl.gz", "rt", encoding="utf-8") as file:
                questions += [json.loads(line)["question"] for line in file]
        assert sum(map(model.knows, questions)) == known


def test_the_recorded_teacher_answers_its_own_prompts(recorded: Path) -> None:
    for name in ("coin_flip", "gsm8k", "tracking_shuffled_objects", "date_understanding"):
        path = recorded / "teacher" / f"{name}.jsonl.gz"
        model = RecordedModel([path])
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file][:150]
        for row in rows:
            first = prompt(row["question"].strip())
            assert ask(model, first) == row["rationale"]
            assert ask(model, f"{first}{row['rationale']}\nTherefore, the answer is") == row["final"]
