"""The builtin tasks' questions, rationales and worked examples stay the same to the byte.

Samples that were paid for belong to a question by its key, and plans to their examples by their text. The digests were
computed before the tasks' parts were joined in one object.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from engine.config.tasks import TaskConfig
from engine.practice.simulated_model import MODELS, CompletionRequest, SimulatedModel
from engine.strategies import Wording
from engine.tasks import LoadedTask, load_task, shipped_exemplars

PROMPTS = (
    "Q: {question}\nA: Let's think step by step.",
    "Q: {question}\nA: Let's think step by step. {rationale}\nTherefore, the answer is",
    "{question}\nReason, then end with a line `Answer: …`.",
    "Q: A\nA: B. The answer is c.\n\nQ: {question}\nA:",
    "Q: {question}\nA: The answer is",
    "{question}\nThe correct answer is {answer}. Explain, then end with a line `Answer: …`.",
)
DIGESTS = {
    # name, answer format: questions with seed 0, seed 7 and other options; rationales; worked examples
    ("coin_flip", "yes_no"): (
        "4558b6c470f2adad",
        "60f84a81bcd89063",
        "d62dd0e1bfabf8cc",
        "f25dfcd378c5bff8",
        "5a7ec7c1c992aedd",
    ),
    ("last_letter_concatenation", "text"): (
        "06124be5a29d3a81",
        "2186a72f9b677518",
        "3abd4dd7d7762b02",
        "42e5452e62aa753e",
        "f686d3ff11043f42",
    ),
    ("tracking_shuffled_objects", "choice"): (
        "8197a720404157f0",
        "9142abba36d1b3f5",
        "7c80160009fa6fc3",
        "5a39f21b7c060f1c",
        "d3463a7ce7bbb83c",
    ),
    ("date_understanding", "date"): (
        "a4d4d51082cad9bc",
        "4a3b8ed76a8d4d93",
        "4be635365965b41d",
        "8eb5c2b86b9562ba",
        "dafb1f4503cd5e7b",
    ),
    ("date_understanding", "choice"): (
        "f2ed798397601ae3",
        "bfb2d2a267d72d6a",
        "0b70f485214b07d7",
        "eb65cac9d069e657",
        "e11cf9b6cb74a275",
    ),
    ("multi_step_arithmetic", "number"): (
        "481411de1b85f697",
        "f27ed3f28296ea08",
        "536c7f5147bae912",
        "2c0327820ec1594a",
        "74349ac5cf985bdb",
    ),
    ("multi_step_arithmetic", "math"): (
        "481411de1b85f697",
        "f27ed3f28296ea08",
        "536c7f5147bae912",
        "2c0327820ec1594a",
        "74349ac5cf985bdb",
    ),
}
OPTIONS: dict[str, dict[str, int]] = {
    "coin_flip": {"people_min": 8},
    "last_letter_concatenation": {"words_min": 2},
    "tracking_shuffled_objects": {"people": 5, "swaps": 4},
    "date_understanding": {"year_max": 1940},
    "multi_step_arithmetic": {"maximum": 99, "amount_max": 20, "steps_max": 2},
}


def config(name: str, form: str, **more: object) -> TaskConfig:
    return TaskConfig.model_validate({"source": f"builtin:{name}", "answer": form, **more})


def loaded(name: str, form: str, **more: object) -> LoadedTask:
    return load_task("t", config(name, form, **more), Path())


def rationales(task: LoadedTask) -> str:
    total = hashlib.sha256()
    for seed in (0, 7):
        simulated = SimulatedModel(seed, 0.1)
        for model in MODELS:
            for question in task.questions[:40]:
                rationale = ""
                for prompt in PROMPTS:
                    text = (
                        prompt.replace("{question}", question.text)
                        .replace("{answer}", question.answer)
                        .replace("{rationale}", rationale)
                    )
                    for replicate, temperature in (("0", 0.7), ("1", 0.7), ("0", 0.0)):
                        request = CompletionRequest(
                            prompt=text,
                            model=model,
                            temperature=temperature,
                            replicate=replicate,
                            chat=replicate == "0",
                        )
                        reply = simulated.reply(request).text
                        total.update(json.dumps(reply).encode())
                        if prompt is PROMPTS[0]:
                            rationale = reply
    return total.hexdigest()[:16]


def digests(name: str, form: str) -> tuple[str, ...]:
    task = loaded(name, form, seed=7)
    stored = json.dumps(Wording(exemplars=shipped_exemplars(config(name, form))).stored)
    return (
        loaded(name, form).digest[:16],
        task.digest[:16],
        loaded(name, form, options=OPTIONS[name]).digest[:16],
        rationales(task),
        hashlib.sha256(stored.encode()).hexdigest()[:16],
    )


@pytest.mark.parametrize(("name", "form"), DIGESTS)
def test_nothing_changed(name: str, form: str) -> None:
    assert digests(name, form) == DIGESTS[name, form]
