from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.config import PlanConfig, PromptsConfig, TaskConfig
from engine.decomposition import read_steps
from engine.errors import ConfigError
from engine.practice.simulated_model import CompletionRequest, SimulatedModel
from engine.question import Question
from engine.strategies import (
    PLAIN,
    STRATEGIES,
    Conversation,
    Exemplar,
    Settings,
    Strategy,
    Wording,
    strategy,
)
from engine.strategies.templates import placeholders
from engine.tasks import BUILTIN_TASKS, load_task
from engine.teachers.messages import Completion, Usage

USAGE = Usage(prompt_tokens=1, completion_tokens=1)
CHOICES = "Where? Answer Choices: (A) home (B) work (C) sea"


def question(text: str = "How many?") -> Question:
    return Question(key="q", text=text, answer="4", split="train")


def completion(text: str, finish_reason: str = "stop", **more) -> Completion:
    return Completion(text=text, usage=USAGE, finish_reason=finish_reason, **more)


def talk(name: str, *answers: Completion, text: str = "How many?", answer="number") -> Conversation:
    settings = Settings(answer_format=answer, max_tokens=128, answer_max_tokens=32)
    return Conversation.resume(strategy(name), question(text), settings, answers)


def test_two_steps_as_the_paper_asks() -> None:
    first = talk("zero-shot-cot")
    assert first.request is not None
    assert first.request.messages[0].content == "Q: How many?\nA: Let's think step by step."
    assert first.request.max_tokens == 128
    second = talk("zero-shot-cot", completion("\n\n2 + 2 = 4. \n"))
    assert second.request is not None
    assert second.request.messages[0].content == (
        "Q: How many?\nA: Let's think step by step.\n\n2 + 2 = 4.\nTherefore, the answer (arabic numerals) is"
    )
    assert second.request.max_tokens == 32
    done = talk("zero-shot-cot", completion("\n\n2 + 2 = 4. \n"), completion(" 4."))
    assert done.request is None
    assert done.finished is not None
    assert (done.finished.rationale, done.finished.answer, done.finished.flags) == ("2 + 2 = 4.", "4.", ())


@pytest.mark.parametrize(
    ("answer", "text", "phrase"),
    [
        ("choice", CHOICES, "Therefore, among A through C, the answer is"),
        ("choice", "No options here", "Therefore, the answer is"),
        ("yes_no", "Is it?", "Therefore, the answer (Yes or No) is"),
        ("text", "Which?", "Therefore, the answer is"),
        ("date", "When?", "Therefore, the answer (MM/DD/YYYY) is"),
    ],
)
def test_the_second_phrase_names_the_form(answer, text, phrase) -> None:
    turn = talk("zero-shot-cot", completion(" So."), text=text, answer=answer)
    assert turn.request is not None
    assert turn.request.messages[0].content.endswith(f"So.\n{phrase}")


@pytest.mark.parametrize(
    ("first", "flags"),
    [
        (completion("  "), ("empty-rationale",)),
        (completion("", "length"), ("truncated", "empty-rationale")),
        (completion("", "content_filter"), ("content_filter", "empty-rationale")),
        (completion("I cannot.", "refusal"), ("refusal",)),
    ],
)
def test_no_second_turn_is_paid_without_a_rationale(first, flags) -> None:
    done = talk("zero-shot-cot", first)
    assert done.finished is not None
    assert done.finished.flags == flags
    assert done.finished.answer == ""


def test_cut_off_turns_are_flagged() -> None:
    done = talk("zero-shot-cot", completion("so far", "length"), completion("4", "length"))
    assert done.finished is not None
    assert done.finished.flags == ("truncated", "answer-truncated")
    assert done.finished.finish_reason == "length"


@pytest.mark.parametrize(
    ("text", "rationale", "answer", "flags"),
    [
        ("2 + 2 = 4.\nAnswer: 4", "2 + 2 = 4.", "4", ()),
        ("So.\n\n**Answer:** 4", "So.", "4", ()),
        ("So.\n**Final answer: 4**", "So.", "4", ()),
        ("Answer: 3? No.\nAnswer: 4\n", "Answer: 3? No.", "4", ()),
        ("It is 4.", "It is 4.", "It is 4.", ("no-answer-line",)),
        ("Answer: 4", "", "4", ("empty-rationale",)),
    ],
)
def test_one_turn(text, rationale, answer, flags) -> None:
    done = talk("zero-shot-cot-chat", completion(text))
    assert done.finished is not None
    assert (done.finished.rationale, done.finished.answer, done.finished.flags) == (rationale, answer, flags)


def test_full_reasoning_stands_in_for_an_empty_rationale() -> None:
    done = talk("zero-shot-cot-chat", completion("Answer: 4", reasoning="2 and 2", reasoning_kind="full"))
    assert done.finished is not None
    assert (done.finished.rationale, done.finished.flags) == ("2 and 2", ())


def test_an_answer_too_many_is_an_error() -> None:
    with pytest.raises(ValueError, match="finished"):
        talk("zero-shot-cot-chat", completion("Answer: 4"), completion("x"))


def test_settings_come_from_the_plan() -> None:
    plan = PlanConfig(name="p", temperature=0.3, top_p=0.9, max_tokens=10, answer_max_tokens=5)
    settings = Settings.of(plan, "number")
    request = Conversation(STRATEGIES["zero-shot-cot"], question(), settings).request
    assert request is not None
    assert (request.temperature, request.top_p, request.max_tokens) == (0.3, 0.9, 10)


def test_identities_differ_and_hold_the_templates() -> None:
    assert "Let's think step by step." in strategy("zero-shot-cot").identity("number")
    assert strategy("zero-shot-cot").identity("number") != strategy("zero-shot-cot-chat").identity("number")
    with pytest.raises(ConfigError, match="zero-shot-cot-chat"):
        strategy("few-shots")


def test_zero_shot_asks_for_the_answer_at_once() -> None:
    first = talk("zero-shot", text=CHOICES, answer="choice")
    assert first.request is not None
    assert first.request.messages[0].content == f"Q: {CHOICES}\nA: Among A through C, the answer is"
    assert first.request.max_tokens == 32
    done = talk("zero-shot", completion(" (B).", "length"), text=CHOICES, answer="choice")
    assert done.finished is not None
    assert (done.finished.rationale, done.finished.answer, done.finished.flags) == (
        "",
        "(B).",
        ("answer-truncated",),
    )


SHOTS = Wording(
    exemplars=(
        Exemplar(question="1 + 1?", rationale="One and one is two.", answer="2"),
        Exemplar(question="2 + 1?", rationale="Two and one is three.", answer="3"),
    )
)


def shots(*answers: Completion, wording: Wording = SHOTS) -> Conversation:
    settings = Settings(answer_format="number", wording=wording)
    return Conversation.resume(strategy("few-shot-cot"), question(), settings, answers)


def test_few_shot_shows_the_examples_first() -> None:
    request = shots().request
    assert request is not None
    assert request.messages[0].content == (
        "Q: 1 + 1?\nA: One and one is two. The answer is 2.\n\n"
        "Q: 2 + 1?\nA: Two and one is three. The answer is 3.\n\n"
        "Q: How many?\nA:"
    )
    assert request.stop == ("\nQ:",)


@pytest.mark.parametrize(
    ("text", "rationale", "answer", "flags"),
    [
        (" 2 + 2 = 4. The answer is 4.", "2 + 2 = 4.", "4.", ()),
        ("2 + 2 = 4. So the final answer is: 4\n\nQ: 3 + 3?\nA: The answer is 6.", "2 + 2 = 4.", "4", ()),
        ("The answer is 3? No: 4. The answer is 4.", "The answer is 3? No: 4.", "4.", ()),
        ("It is 4.", "It is 4.", "It is 4.", ("no-answer-line",)),
        ("The answer is", "The answer is", "The answer is", ("no-answer-line",)),
    ],
)
def test_few_shot_answers_are_read(text, rationale, answer, flags) -> None:
    done = shots(completion(text)).finished
    assert done is not None
    assert (done.rationale, done.answer, done.flags) == (rationale, answer, flags)


def test_rationalize_gives_the_answer_away_and_says_so() -> None:
    request = talk("rationalize").request
    assert request is not None
    assert "(Hint: the correct answer is 4.)" in request.messages[0].content
    done = talk("rationalize", completion("2 + 2 = 4.\nAnswer: 4")).finished
    assert done is not None
    assert (done.rationale, done.answer, done.flags) == ("2 + 2 = 4.", "4", ("hinted",))


def test_templates_of_a_person_stand_in_for_a_strategys_own() -> None:
    wording = Wording(
        prompt="Frage: {question} {{so}}", answer_prompt="{prompt}{rationale} =>{trigger}", trigger="Zahl:"
    )
    settings = Settings(answer_format="number", wording=wording)
    asked = Conversation.resume(
        strategy("zero-shot-cot"), question("{rationale}?"), settings, [completion("Weil {question}.")]
    )
    assert asked.request is not None
    assert asked.request.messages[0].content == "Frage: {rationale}? {so} Weil {question}. =>Zahl:"


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_a_replayed_conversation_asks_the_same(name: str) -> None:
    given = [completion(f"Since {i}. The answer is 4.\nAnswer: 4") for i in range(2)]
    turns = 2 if name == "zero-shot-cot" else 1
    first, again = talk(name, *given[: turns - 1]), talk(name, *given[: turns - 1])
    assert first.request == again.request
    first.answer(given[-1])
    assert first.finished == talk(name, *given[: turns - 1], given[-1]).finished


def test_a_wording_survives_its_storage() -> None:
    wording = Wording(prompt="{question}", exemplars=SHOTS.exemplars)
    assert Wording.restored(json.loads(json.dumps(wording.stored))) == wording
    assert PLAIN.stored == {} and Wording.restored({}) == PLAIN


@pytest.mark.parametrize("each", STRATEGIES.values(), ids=lambda each: each.name)
def test_the_facts_of_a_strategy_fit_its_templates(each: Strategy) -> None:
    assert each.documentation.endswith(".")
    assert set(each.templates) <= set(PromptsConfig.model_fields), "templates that can be configured"
    for template in each.templates.values():
        assert template.required <= template.places
        assert template.text is None or set(placeholders(template.text)) <= template.places
        assert template.text is None or template.required <= set(placeholders(template.text))
    assert not (each.hinted and each.baseline_rank is not None), "a hint is not a baseline"
    assert ("exemplars" in each.templates["prompt"].places) is each.needs_exemplars


def test_baselines_have_an_order_and_two_are_shown_as_the_teacher() -> None:
    ranked = [each for each in STRATEGIES.values() if each.baseline_rank is not None]
    names = [each.name for each in sorted(ranked, key=lambda each: each.baseline_rank or 0)]
    assert names == ["zero-shot", "zero-shot-cot", "zero-shot-cot-chat", "few-shot-cot"]
    assert [each.report_name for each in ranked].count("teacher") == 2
    assert [each.name for each in STRATEGIES.values() if not each.writes_rationale] == ["zero-shot"]


def test_an_answer_that_is_all_in_the_reasoning_is_read_there_and_flagged() -> None:
    said = "We add 2 and 2.\nAnswer: 4"
    for name, text, answer in (
        ("zero-shot-cot-chat", said, "4"),
        ("zero-shot", "4", "4"),
        ("few-shot-cot", "We add. The answer is 4.", "4."),
    ):
        finished = talk(name, completion("", reasoning=text, reasoning_kind="full")).finished
        assert finished is not None
        assert (finished.answer, finished.flags) == (answer, ("answer_in_reasoning",)), name
    first = completion("\n", reasoning="2 + 2 = 4.", reasoning_kind="full")
    finished = talk("zero-shot-cot", first, completion("", reasoning="4", reasoning_kind="full")).finished
    assert finished is not None
    assert (finished.rationale, finished.answer) == ("2 + 2 = 4.", "4")
    assert finished.flags == ("answer_in_reasoning",)
    finished = talk("zero-shot-cot-chat", completion("", reasoning="Hm …", reasoning_kind="full")).finished
    assert finished is not None, "reasoning alone does not answer"
    assert (finished.answer, finished.rationale, finished.flags) == ("", "Hm …", ("no-answer-line",))
    for more in ({"finish_reason": "length", "reasoning_kind": "full"}, {"reasoning_kind": "summary"}):
        finished = talk("zero-shot-cot-chat", completion("", reasoning=said, **more)).finished
        assert finished is not None and finished.answer == ""


@pytest.mark.parametrize("name", ["zero-shot-cot-chat", "zero-shot", "few-shot-cot", "zero-shot-cot"])
def test_an_unknown_finish_reason_is_flagged(name) -> None:
    said = completion("We add. The answer is 4.\nAnswer: 4", finish_reason="tool_calls")
    finished = talk(name, said).finished or talk(name, said, said).finished
    assert finished is not None and finished.flags == ("unknown_finish",)


LINES = "1. How many? ** 2 + 2 = 4\n2. And then? ** It stays 4.\nAnswer: 4"


def test_socratic_reads_lines_of_sub_questions_and_the_answer() -> None:
    asked = talk("socratic").request
    assert asked is not None
    assert asked.messages[0].content.startswith("How many?\n\nDivide this into sub-questions")
    done = talk("socratic", completion(LINES)).finished
    assert done is not None
    assert (done.rationale, done.answer, done.flags) == (
        "How many? ** 2 + 2 = 4\nAnd then? ** It stays 4.",
        "4",
        (),
    )


def test_socratic_asks_again_only_where_lines_cannot_be_read() -> None:
    prose = completion("2 + 2 = 4, and it stays.\nAnswer: 4")
    again = talk("socratic", prose)
    assert again.request is not None
    said = again.request.messages[0].content
    assert said.startswith("How many?\n\nHere is a solution:\n2 + 2 = 4, and it stays.\n\nDivide it")
    repaired = talk("socratic", prose, completion(LINES)).finished
    assert repaired is not None
    assert (repaired.rationale.splitlines()[1], repaired.answer) == ("And then? ** It stays 4.", "4")
    assert repaired.flags == ()
    kept = talk("socratic", prose, completion("I cannot.\nAnswer: 5")).finished
    assert kept is not None
    assert (kept.rationale, kept.answer, kept.flags) == ("2 + 2 = 4, and it stays.", "4", ("unread",))
    for bad in (completion("so 2 +", "length"), completion("", "content_filter"), completion(" ")):
        ended = talk("socratic", bad).finished
        assert ended is not None, "nothing is paid to repair half an answer"
        assert "unread" in ended.flags


def test_the_built_in_teacher_divides_the_questions_of_all_its_tasks() -> None:
    model = SimulatedModel(seed=0, error_rate=0.0)
    for name, task in BUILTIN_TASKS.items():
        config = TaskConfig(source=f"builtin:{name}", answer=task.formats(task.options())[0], train=20)
        for each in load_task("t", config, Path()).questions:
            settings = Settings(answer_format=config.answer, max_tokens=512)
            conversation = Conversation(strategy("socratic"), each, settings)
            assert conversation.request is not None
            prompt = conversation.request.messages[0].content
            conversation.answer(completion(model.reply(CompletionRequest(prompt=prompt)).text))
            assert conversation.finished is not None and conversation.finished.flags == ()
            assert conversation.finished.answer == each.answer
            steps = read_steps(conversation.finished.rationale)
            assert steps is not None and len({step.question for step in steps}) == len(steps)
