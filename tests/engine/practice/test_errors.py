"""Systematic errors: rates by question and phrase, agreement between samples, right answers by wrong rationales."""

from __future__ import annotations

import random
from collections import Counter
from functools import lru_cache
from typing import Any

import pytest

from engine.practice.errors import ERRORS, Conditions
from engine.practice.simulated_model import MODELS, CompletionRequest, SimulatedModel
from engine.tasks.builtin import BUILTIN_TASKS
from engine.tasks.procedural import Problem, Trace, trace

RATE, QUESTIONS, SAMPLES = 0.1, 300, 8


@lru_cache(maxsize=8)
def problems(name: str) -> tuple[Problem[Any, Any], ...]:
    task, rng = BUILTIN_TASKS[name], random.Random(1)
    found = (task.find(task.draw(rng, task.options()).text) for _ in range(QUESTIONS))
    return tuple(each.problem for each in found if each is not None)


def solutions(name: str, errors: str, seed: int = 0, *, hinted: bool = False) -> list[list[Trace[Any, Any]]]:
    """The samples of each question."""
    return [
        [
            ERRORS[errors](
                problem,
                Conditions(
                    key=f"{seed}|m|{name}",
                    share=RATE,
                    slip_rate=RATE,
                    rng=random.Random(f"{number} {sample}"),
                    hinted=hinted,
                ),
            )
            for sample in range(SAMPLES)
        ]
        for number, problem in enumerate(problems(name))
    ]


def all_wrong(found: list[list[Trace[Any, Any]]]) -> float:
    """The share of questions that are wrong in all samples."""
    wrong = [all(each.answer != trace(each.problem).answer for each in samples) for samples in found]
    return sum(wrong) / len(wrong)


def agreement(found: list[list[Trace[Any, Any]]]) -> float:
    """The mean share of a question's samples that give its most frequent answer."""
    most = [Counter(each.answer for each in samples).most_common(1)[0][1] / SAMPLES for samples in found]
    return sum(most) / len(most)


def lucky(found: list[list[Trace[Any, Any]]]) -> float:
    """The share of correct answers whose rationale has a wrong step."""
    right = [each for samples in found for each in samples if each.answer == trace(each.problem).answer]
    return sum(any(step.slipped for step in each.steps) for each in right) / len(right)


@pytest.mark.parametrize("name", ["multi_step_arithmetic", "last_letter_concatenation"])
def test_rates_are_the_documented_ones(name: str) -> None:
    """Averages over seeds, because few phrases are misread, and these differ from seed to seed."""
    seeds = range(4)
    systematic = [solutions(name, "systematic", seed) for seed in seeds]
    independent = solutions(name, "independent")
    wrong = sum(map(all_wrong, systematic)) / len(seeds)
    assert RATE * 0.7 < wrong < RATE * 3.2, "a share e, and the questions with a misread phrase"
    assert all_wrong(independent) < 0.01
    assert RATE * 0.8 < sum(map(lucky, systematic)) / len(seeds) < RATE * 2
    assert min(map(agreement, systematic)) > 0.9 > 0.85 > agreement(independent)


@pytest.mark.parametrize("name", sorted(BUILTIN_TASKS))
def test_a_question_that_is_always_wrong_has_one_wrong_answer(name: str) -> None:
    for samples in solutions(name, "systematic"):
        if len(samples[0].problem.moves) > 1 and all(
            each.answer != trace(each.problem).answer for each in samples
        ):
            assert len({each.answer for each in samples[:1]}) == 1
            rest = Counter(each.answer for each in samples)
            assert rest.most_common(1)[0][1] >= SAMPLES // 2


def test_a_lucky_rationale_does_not_support_its_answer() -> None:
    found = 0
    for samples in solutions("multi_step_arithmetic", "systematic"):
        slips = [[number for number, step in enumerate(each.steps) if step.slipped] for each in samples]
        last = len(samples[0].problem.moves) - 1
        if all(each.answer == trace(each.problem).answer for each in samples) and all(
            len(each) == 2 and each[1] == last for each in slips
        ):
            found += 1
            step = samples[0].steps[-1]
            assert samples[0].problem.apply(step.before, step.move) != step.after
            assert len(set(map(str, samples))) == 1, "the same in all samples"
    assert RATE / 2 < found / QUESTIONS < RATE * 1.5


def test_a_phrase_is_misread_wherever_it_occurs() -> None:
    """Some phrases are wrong in nearly all rationales that contain them, the others in few."""
    shares: dict[str, list[bool]] = {}
    for seed in range(3):
        for samples in solutions("multi_step_arithmetic", "systematic", seed):
            for each in samples:
                for step in each.steps:
                    shares.setdefault(f"{seed} {step.move}", []).append(step.slipped)
    often = {phrase: sum(each) / len(each) for phrase, each in shares.items() if len(each) > 100}
    misread = [share for share in often.values() if share > 0.6]
    assert 0 < len(misread) < len(often) * 0.15
    assert not [share for share in often.values() if 0.35 < share <= 0.6]


def test_a_hint_avoids_most_systematic_errors() -> None:
    name = "multi_step_arithmetic"
    assert (
        all_wrong(solutions(name, "systematic", hinted=True)) < all_wrong(solutions(name, "systematic")) / 4
    )


@pytest.mark.parametrize("model", MODELS)
def test_samples_are_a_function_of_seed_and_question_through_the_whole_teacher(model: str) -> None:
    task = BUILTIN_TASKS["multi_step_arithmetic"]
    texts = [task.draw(random.Random(number), task.options()).text for number in range(60)]

    def answers(seed: int, errors: str) -> list[list[str]]:
        teacher = SimulatedModel(seed, RATE, errors)
        return [
            [
                teacher.reply(
                    CompletionRequest(prompt=f"Q: {text}\nA: The answer is", model=model, replicate=str(each))
                ).text
                for each in range(4)
            ]
            for text in texts
        ]

    systematic = answers(0, "systematic")
    assert systematic == answers(0, "systematic") != answers(1, "systematic")
    same = sum(len(set(each)) == 1 for each in systematic)
    assert same > sum(len(set(each)) == 1 for each in answers(0, "independent"))
