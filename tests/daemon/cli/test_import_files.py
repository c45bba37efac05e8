"""`coterie import reasoning-teacher`, on small files in the format of the authors' repository."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from daemon.__main__ import main
from daemon.catalog.sync import read_input
from engine.config import load_config
from engine.practice.recorded_model import RecordedModel
from engine.practice.simulated_model import CompletionRequest
from engine.tasks import load_task

PROMPT = "Q: What is 1 + 1?\nA: One and one\nare two. The answer is 2.\nQ: What is 2 + 2?\nA: Two twice is four. The answer is 4."


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def completion(index: int, number: int, **other: Any) -> dict[str, Any]:
    return {
        "sample_index": index,
        "completion_index": number,
        "question": f"How much is {index} and {index}?",
        "answer": str(2 * index),
        "reasoning_prompt": f"Q: How much is {index} and {index}?\nA: Let's think step by step.",
        "reasoning_completion": f" Way {number} of {index}.",
        "reasoning_finish_reason": "length" if number == 2 else "stop",
        "prompt": "…",
        "completion": f" {2 * index}.",
        "finish_reason": "stop",
    } | other


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    rows = [
        {"sample_index": index, "question": f"How much is {index} and {index}?", "answer": str(2 * index)}
        for index in range(10)
    ]
    rows[0]["rationale"] = "Nothing twice."
    write(root / "data/dataset/multiarith.json", {"metadata": {"dataset_key": "multiarith"}, "data": rows})
    write(root / "data/dataset/svamp.json", {"metadata": {}, "data": rows[:2]})
    write(root / "data/split/multiarith__default.json", {"train": [0, 1, 2, 4, 5, 6], "test": [3, 7, 8]})
    write(root / "data/split/multiarith__template.json", {"train": [0, 1], "test": [9]})
    write(root / "data/few_shot_cot_prompts.json", {"multiarith": {"prompt": PROMPT, "sample_indices": []}})
    folder = root / "saved/completion_data/B_text-davinci-002__C_zs_cot"
    data: dict[str, list[Any]] = {
        str(index): [completion(index, number) for number in range(3)] for index in (0, 3)
    }
    data["1"] = [completion(1, 0), completion(1, 1, completion=None), completion(1, 2, question="Another?")]
    write(folder / "D_multiarith.json", {"metadata": {"dataset_key": "multiarith"}, "data": data})
    write(folder / "D_multiarith__T_student.json", {})
    few = {"0": [{"completion": "So. The answer is 0."}]}
    write(root / "saved/completion_data/B_curie__C_fs_cot/D_multiarith.json", {"data": few})
    return root


def run(checkout: Path, *more: str) -> Path:
    output = checkout.parent / "paper"
    assert main(["import", "reasoning-teacher", str(checkout), "-o", str(output), *more]) == 0
    return output


def test_tasks_examples_and_completions_come_out_as_this_program_reads_them(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = run(checkout)
    config = load_config(output / "config.toml")
    loaded = load_task("multiarith", config.tasks["multiarith"].model_copy(update={"dev": 0}), output)
    dealt = {each.key: (each.split, each.answer, each.rationale) for each in loaded.questions}
    assert list(config.tasks) == ["multiarith"] and len(dealt) == 9
    assert dealt["multiarith/0"] == ("train", "0", "Nothing twice.") and dealt["multiarith/8"] == (
        "test",
        "16",
        None,
    )
    template = gzip.decompress((output / "tasks/multiarith.template.jsonl.gz").read_bytes()).splitlines()
    assert [(json.loads(row)["id"], json.loads(row)["split"]) for row in template][-1] == (
        "multiarith/9",
        "test",
    )
    examples = [json.loads(line) for line in (output / "exemplars/multiarith.jsonl").read_text().splitlines()]
    assert [(each["rationale"], each["answer"]) for each in examples] == [
        ("One and one\nare two.", "2"),
        ("Two twice is four.", "4"),
    ]
    told = capsys.readouterr().out
    for said in (
        "6 train and 3 test questions; 1 questions are in neither and left out",
        "svamp: not read, as it has no split (data/split/svamp__default.json)",
        "D_multiarith.json: 7 completions, 1 to 3 for each of 3 questions",
        "1 completions not read: without completion: its second step was not done",
        "1 completions not read: of another question than the data set has at that index",
        "1 completions not read: without reasoning_completion",
        "1 files not read, of a student, or of another data set, such as D_multiarith__T_student.json",
    ):
        assert said in told, said


def test_the_papers_own_questions_are_split_by_its_lists_and_stay_repeated(
    recorded: Path, checkout: Path
) -> None:
    given: dict[int, dict[str, Any]] = {}
    splits: dict[str, list[int]] = {}
    for split in ("train", "test"):
        with gzip.open(recorded / "tasks" / f"multiarith.{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        splits[split] = [int(row["id"].partition("/")[2]) for row in rows]
        given |= {
            index: {"sample_index": index, "question": row["question"], "answer": row["answer"]}
            for index, row in zip(splits[split], rows, strict=True)
        }
    write(checkout / "data/dataset/multiarith.json", {"data": [given[index] for index in range(600)]})
    write(checkout / "data/split/multiarith__default.json", splits)
    (checkout / "saved/completion_data/B_text-davinci-002__C_zs_cot/D_multiarith.json").unlink()
    output = run(checkout, "--task", "multiarith")
    task = load_config(output / "config.toml").tasks["multiarith"]
    assert task.split_by == "paper"
    dealt = {each.key: each.split for each in load_task("multiarith", task, output).questions}
    assert {key for key, split in dealt.items() if split == "test"} == {
        f"multiarith/{at}" for at in splits["test"]
    }
    assert len(dealt) == 600


def test_the_completions_of_a_question_are_replayed_in_turn(checkout: Path) -> None:
    output = run(checkout, "--task", "multiarith")
    (teacher,) = load_config(output / "config.toml").teachers.values()
    assert teacher.model == "text-davinci-002" and teacher.builtin
    assert teacher.replay == "replay/text-davinci-002.zs_cot.jsonl.gz"
    model = RecordedModel([output / "replay" / "text-davinci-002.zs_cot.jsonl.gz"])

    def asked(prompt: str, turn: int, temperature: float = 0.7) -> tuple[str, str | None]:
        reply = model.reply(
            CompletionRequest(
                prompt=prompt, model="m", temperature=temperature, replicate="", turn=turn, chat=False
            )
        )
        return reply.text, reply.finish_reason

    first = "Q: How much is 3 and 3?\nA: Let's think step by step."
    assert [asked(first, turn) for turn in range(4)] == [
        (" Way 0 of 3.", "stop"),
        (" Way 1 of 3.", "stop"),
        (" Way 2 of 3.", "length"),
        (" Way 0 of 3.", "stop"),
    ]
    assert asked(first, 2, temperature=0)[0] == " Way 0 of 3."
    assert asked(f"{first} Way 1 of 3.\nTherefore, the answer is", 0)[0] == " 6."


def test_an_experiment_on_the_imported_files_is_a_whole_configuration(checkout: Path) -> None:
    output = run(checkout)
    path = output / "config.toml"
    path.write_text(
        path.read_text()
        + '[experiment]\nteachers = ["text-davinci-002.zs_cot"]\ntasks = ["multiarith"]\nrationales = [1, 8]\n'
        'methods = ["zero-shot-cot", "few-shot-cot", "fine-tune", "fine-tune-cot"]\nfilters = ["correct", "all"]\n'
        'plan = { temperature = 0.7, max_tokens = 128, exemplars = "exemplars/{task}.jsonl" }\n'
    )
    config = load_config(path)
    assert {plan.name for plan in config.plans} >= {
        f"experiment.text-davinci-002.zs_cot.d{d}" for d in (1, 8)
    }
    assert len(read_input(config).wordings) == 1, "few-shot-cot has the authors' examples"


def test_a_configuration_that_exists_stays_and_a_second_import_writes_the_same(checkout: Path) -> None:
    output = run(checkout)
    before = {path: path.read_bytes() for path in output.rglob("*.*") if path.is_file()}
    (output / "config.toml").write_text("# mine\n")
    run(checkout)
    after = {path: path.read_bytes() for path in before}
    assert after.pop(output / "config.toml") == b"# mine\n"
    assert after == {path: text for path, text in before.items() if path.name != "config.toml"}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("data/dataset/multiarith.json", [], "multiarith.json: expected an object, got a list"),
        (
            "data/dataset/multiarith.json",
            {"data": [{"question": "Q?"}]},
            "data[0]: answer: expected text, got nothing",
        ),
        (
            "data/dataset/multiarith.json",
            {"data": [{"sample_index": 4}]},
            "data[0]: sample_index: expected 0, got 4",
        ),
        (
            "data/split/multiarith__default.json",
            {"train": [10], "test": []},
            "train: expected indices from 0 to 9",
        ),
        (
            "data/split/multiarith__default.json",
            {"train": [1], "test": [1]},
            "test: question 1 is in train and in test",
        ),
        ("data/split/multiarith__default.json", {"train": [1]}, "multiarith__default.json:test: missing"),
        (
            "saved/completion_data/B_text-davinci-002__C_zs_cot/D_multiarith.json",
            {"metadata": {"dataset_key": "svamp"}, "data": {}},
            "dataset_key: expected 'multiarith', as in the file's name, got 'svamp'",
        ),
        (
            "saved/completion_data/B_text-davinci-002__C_zs_cot/D_multiarith.json",
            {"data": {"11": []}},
            "data: expected indices from 0 to 9, as in the data set, got '11'",
        ),
    ],
)
def test_a_file_of_another_form_is_named(
    checkout: Path, capsys: pytest.CaptureFixture[str], file: str, content: Any, message: str
) -> None:
    write(checkout / file, content)
    assert main(["import", "reasoning-teacher", str(checkout), "-o", str(checkout / "out")]) == 2
    assert message in capsys.readouterr().err


def test_a_checkout_without_data_says_what_to_unpack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, message in ((tmp_path, "unpack dataset.tar.gz"), (tmp_path / "none", "no such folder")):
        assert main(["import", "reasoning-teacher", str(folder), "-o", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
