from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config.tasks import AnswerFormat, TaskConfig
from engine.grading import grade
from engine.practice.simulated_model import (
    MODELS,
    CompletionRequest,
    SimulatedModel,
    UnknownQuestion,
    parse_prompt,
)
from engine.strategies import STRATEGIES, Conversation, Panel, Settings, Wording, strategy
from engine.tasks import BUILTIN_TASKS, load_task
from engine.tasks.procedural import trace
from engine.teachers.messages import Completion, Usage

FORMATS: dict[str, AnswerFormat] = {
    "coin_flip": "yes_no",
    "last_letter_concatenation": "text",
    "tracking_shuffled_objects": "choice",
    "date_understanding": "date",
    "multi_step_arithmetic": "number",
}
TASKS = sorted(FORMATS)


def questions(name: str, count: int = 40):
    config = TaskConfig(source=f"builtin:{name}", answer=FORMATS[name], train=count, dev=0, test=0)
    return load_task(name, config, Path()).questions


def two_steps(
    simulated: SimulatedModel,
    text: str,
    replicate: int = 0,
    *,
    model: str = MODELS[0],
    temperature: float = 0.7,
):
    first = f"Q: {text}\nA: Let's think step by step."

    def ask(prompt: str) -> str:
        asked = CompletionRequest(
            prompt=prompt, model=model, temperature=temperature, replicate=str(replicate), chat=False
        )
        return simulated.reply(asked).text

    rationale = ask(first)
    return rationale, ask(f"{first}{rationale}\nTherefore, the answer is").strip().removesuffix(".")


@pytest.mark.parametrize("name", TASKS)
def test_without_slips_every_style_leads_to_the_gold_answer(name: str) -> None:
    simulated = SimulatedModel(0, 0.0)
    for question in questions(name):
        for replicate in range(6):
            assert two_steps(simulated, question.text, replicate)[1] == question.answer


@pytest.mark.parametrize("name", TASKS)
def test_the_answer_follows_a_rationale_with_slips(name: str) -> None:
    """The second step reads the first: it gives the trace's own answer, correct or not."""
    renderer = BUILTIN_TASKS[name].renderer
    wrong = 0
    for number, question in enumerate(questions(name)):
        found = BUILTIN_TASKS[name].find(question.text)
        assert found is not None
        solved = trace(found.problem, random.Random(number), 0.5)
        wrong += solved.answer != question.answer
        for style in renderer.styles:
            for closing in renderer.closings:
                rationale = f"{style(solved)} {closing(solved)}"
                first = f"Q: {question.text}\nA: Let's think step by step. {rationale}"
                asked = CompletionRequest(prompt=f"{first}\nTherefore, the answer is", temperature=0)
                assert SimulatedModel(0, 0.9).reply(asked).text == f"{solved.answer}."
    assert wrong >= 10


@pytest.mark.parametrize("name", TASKS)
def test_there_are_four_styles_and_many_rationales(name: str) -> None:
    assert len(BUILTIN_TASKS[name].renderer.styles) >= 4
    simulated = SimulatedModel(0, 0.1)
    texts = [{two_steps(simulated, q.text, i)[0] for i in range(8)} for q in questions(name, 20)]
    assert sum(map(len, texts)) / 20 > 6.5
    words = [len(text.split()) for each in texts for text in each]
    assert 30 <= sum(words) / len(words) <= 80


@pytest.mark.parametrize("name", TASKS)
def test_slips_come_about_as_often_as_set(name: str) -> None:
    """Correct answers are about those with no slip at all; the small model has fewer."""
    asked = questions(name, 100)

    def accuracy(model: str) -> float:
        simulated = SimulatedModel(1, 0.1)
        return (
            sum(two_steps(simulated, q.text, i, model=model)[1] == q.answer for q in asked for i in range(3))
            / 300
        )

    steps = [len(BUILTIN_TASKS[name].solve(q.text).steps) for q in asked]  # type: ignore[union-attr]
    without_slip = sum(0.9**count for count in steps) / len(steps)
    large = accuracy("practice-large")
    assert without_slip - 0.08 < large < without_slip + 0.18  # two slips may cancel out, or not matter
    assert accuracy("practice-small") < large - 0.1


def test_a_higher_temperature_gives_more_ways() -> None:
    question = questions("coin_flip", 1)[0].text

    def ways(temperature: float) -> int:
        simulated = SimulatedModel(0, 0.0)
        return len({two_steps(simulated, question, i, temperature=temperature)[0] for i in range(60)})

    assert ways(0.0) == 1 < ways(0.1) < ways(1.0)


def test_rationales_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "from tests.engine.practice.test_simulated_model import *\n"
        "print([two_steps(SimulatedModel(0, .1), q.text) for name in TASKS for q in questions(name, 3)])"
    )
    here = str([two_steps(SimulatedModel(0, 0.1), q.text) for name in TASKS for q in questions(name, 3)])
    root = Path(__file__).resolve().parents[3]
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={"PYTHONHASHSEED": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == here


def test_worked_examples_are_followed() -> None:
    first, second = questions("coin_flip", 2)
    prompt = f"Q: {first.text}\nA: Anna flips it. The answer is no.\n\nQ: {second.text}\nA:"
    reply = SimulatedModel(0, 0.0).reply(CompletionRequest(prompt=prompt, temperature=0)).text
    assert reply.endswith(f" The answer is {second.answer}.")


def test_an_answer_alone_can_be_asked_for() -> None:
    (question,) = questions("multi_step_arithmetic", 1)
    prompt = f"Q: {question.text}\nA: The answer is"
    assert SimulatedModel(0, 0.0).reply(CompletionRequest(prompt=prompt)).text == f"{question.answer}."


def test_the_papers_prompt_for_choices_is_understood() -> None:
    (question,) = questions("tracking_shuffled_objects", 1)
    prompt = f"Q: {question.text}\nA: Let's think step by step. Who knows.\nTherefore, among A through C, the answer is"
    read = parse_prompt(prompt)
    assert read is not None and (read.kind, read.rationale) == ("final", "Who knows.")
    assert SimulatedModel(0, 0.1).reply(CompletionRequest(prompt=prompt)).text.strip() in {"A.", "B.", "C."}


def test_a_cut_rationale_leads_where_it_stands() -> None:
    (question,) = questions("multi_step_arithmetic", 1)
    prompt = f"Q: {question.text}\nA: Let's think step by step. We start at 7. First, 7 + 6 = 13. Second,\nTherefore, the answer is"
    assert SimulatedModel(0, 0.1).reply(CompletionRequest(prompt=prompt)).text == "13."


def test_a_question_of_no_task_is_unknown() -> None:
    with pytest.raises(UnknownQuestion):
        SimulatedModel(0, 0.1).reply(
            CompletionRequest(prompt="Q: Who are you?\nA: Let's think step by step.")
        )


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(TASKS), st.integers(0, 10**6), st.text(max_size=120), st.sampled_from(MODELS))
def test_no_rationale_breaks_the_second_step(name: str, seed: int, rationale: str, model: str) -> None:
    task = BUILTIN_TASKS[name]
    text = task.draw(random.Random(seed), task.options()).text
    prompt = f"Q: {text}\nA: Let's think step by step.{rationale}\nTherefore, the answer is"
    assert SimulatedModel(0, 0.3).reply(CompletionRequest(prompt=prompt, model=model)).text


def answers(
    name: str, strategy_name: str, simulated: SimulatedModel, count: int = 30
) -> list[tuple[str, str, tuple[str, ...]]]:
    """Gold answers, a strategy's answers from this model's replies, and their flags."""
    finished = []
    for question in questions(name, count):
        wording = Wording(
            exemplars=BUILTIN_TASKS[name].exemplars_for(FORMATS[name])
            if strategy_name == "few-shot-cot"
            else ()
        )
        conversation = Conversation(
            strategy(strategy_name), question, Settings(answer_format=FORMATS[name], wording=wording)
        )
        while conversation.request is not None:
            reply = simulated.reply(
                CompletionRequest(prompt=conversation.request.messages[0].content, temperature=0.7)
            )
            conversation.answer(
                Completion(text=reply.text, usage=Usage(prompt_tokens=1, completion_tokens=1))
            )
            if conversation.hears is not None:
                conversation.hear(())
        assert conversation.finished is not None
        finished.append((question.answer, conversation.finished.answer, conversation.finished.flags))
    return finished


ASKED = sorted(
    name
    for name, each in STRATEGIES.items()
    if not each.panel and not each.scores and not name.startswith("student")
)
"""What a built-in teacher is asked by itself: not what members of a panel hear, nor students in their own form."""


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("strategy_name", ASKED)
def test_every_strategy_is_answered_in_its_form(name: str, strategy_name: str) -> None:
    flags = {"rationalize": ("hinted",), "brainstorm": ("alone",)}.get(strategy_name, ())
    for gold, answer, said in answers(name, strategy_name, SimulatedModel(0, 0.0), 8):
        assert grade(answer, gold, FORMATS[name]).correct
        assert said == flags


def test_without_a_rationale_more_steps_slip_and_with_a_hint_fewer() -> None:
    def correct(strategy_name: str) -> int:
        return sum(
            grade(answer, gold, "text").correct
            for gold, answer, _ in answers(
                "last_letter_concatenation", strategy_name, SimulatedModel(3, 0.2), 80
            )
        )

    assert correct("zero-shot") + 10 < correct("zero-shot-cot") < correct("rationalize") - 10


def test_a_bare_question_gets_its_answer_alone() -> None:
    """The paper's zero-shot prompt ends with "A:" and names no answer; worked examples before it make another kind."""
    question = questions("coin_flip", 1)[0]
    asked = CompletionRequest(prompt=f"Q: {question.text}\n\nA:", temperature=0.0, chat=False)
    assert SimulatedModel(0, 0.0).reply(asked).text == f" {question.answer}."
    shots = "Q: A coin?\nA: Heads. The answer is yes.\n\n"
    shown = CompletionRequest(prompt=f"{shots}Q: {question.text}\nA:", temperature=0.0)
    assert SimulatedModel(0, 0.0).reply(shown).text.endswith(f"The answer is {question.answer}.")


def test_a_model_that_reads_solutions_of_others_repeats_one_of_them_or_solves_the_question_anew() -> None:
    question = questions("coin_flip", 1)[0]
    own, other = "Mine.\nAnswer: yes", "Theirs.\nAnswer: no"
    settings = Settings(
        answer_format="yes_no", panel=Panel(member=0, members=2, rounds=2, peer_characters=1000)
    )
    talk = Conversation(strategy("brainstorm"), question, settings)
    usage = Usage(prompt_tokens=1, completion_tokens=1)
    talk.answer(Completion(text=own, usage=usage))
    talk.hear(((0, Completion(text=own, usage=usage)), (1, Completion(text=other, usage=usage))))
    assert talk.request is not None
    prompt = talk.request.messages[0].content
    said = [
        SimulatedModel(0, 0.0)
        .reply(CompletionRequest(prompt=prompt, temperature=0.7, replicate=str(each)))
        .text
        for each in range(100)
    ]
    assert 25 <= said.count(other) <= 55
    assert all(each.endswith(f"Answer: {question.answer}") for each in said if each != other)
