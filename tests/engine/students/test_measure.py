"""An untrained base is asked as a teacher is asked: the strategy's requests, turn by turn."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.config.students import EvaluationConfig
from engine.forms import FIRST, FORMS, FormSettings, default_settings, form_of
from engine.methods import METHODS
from engine.question import Exemplar, Question
from engine.strategies import STRATEGIES, Conversation, Settings, Wording
from engine.students.ranks import StopFlag
from engine.teachers.messages import Completion, Usage
from tests.engine.students.runs import rows
from tests.lazily import Lazy

transformers = Lazy("transformers")
evaluate, measure = Lazy("engine.students.evaluate"), Lazy("engine.students.measure")

TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<reply>{% endif %}"
SHOWN = Wording(exemplars=(Exemplar(question="Ann waits. Heads?", rationale="Ann: heads.", answer="yes"),))
QUESTIONS = rows()[1][-5:]


def base(bases, kind: str, template: str | None = None, form: FormSettings | None = None):
    model = transformers.AutoModelForCausalLM.from_pretrained(bases[kind])
    tokenizer = transformers.AutoTokenizer.from_pretrained(bases[kind])
    tokenizer.chat_template = template
    settings = form or default_settings(template=bool(template), encoder_decoder=False)
    opened = form_of(settings).open(settings, METHODS["base"], tokenizer, encoder_decoder=False, note=str)
    evaluate.prepare_generation(model, tokenizer, opened)
    return model, tokenizer, opened


def run_of(strategy: str, **evaluation):
    config = EvaluationConfig(**{"max_new_tokens": 12, "batch_size": 4} | evaluation)
    spec = SimpleNamespace(
        strategy=strategy,
        evaluation=config,
        base="small",
        wordings=dict.fromkeys(("coin", "flip"), SHOWN.stored)
        if STRATEGIES[strategy].needs_exemplars
        else {},
    )
    return SimpleNamespace(
        spec=spec,
        method=METHODS["base"],
        stop=StopFlag(),
        note=lambda _message: None,
        directory=Path("/no/directory"),  # so nobody says how many threads it has
    )


def alone(model, tokenizer, strategy: str, row, template: str | None) -> tuple[list[str], str]:
    """One question, turn by turn with generate alone: what was asked, and the answer."""
    talk = Conversation(
        STRATEGIES[strategy],
        Question(key="1", text=row.question, answer="", split="test"),
        Settings(
            answer_format=row.answer_format,
            max_tokens=12,
            answer_max_tokens=12,
            wording=SHOWN if STRATEGIES[strategy].needs_exemplars else Wording(),
        ),
    )
    asked = []
    while talk.request is not None:
        [message] = talk.request.messages
        asked.append(message.content)
        text = f"<user>{message.content}<reply>" if template else message.content
        ids = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        output = model.generate(**ids, max_new_tokens=talk.request.max_tokens)
        said = tokenizer.decode(output[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        talk.answer(Completion(text=said, usage=Usage(prompt_tokens=0, completion_tokens=0)))
    assert talk.finished is not None
    return asked, talk.finished.answer


@pytest.mark.parametrize("template", [None, TEMPLATE])
@pytest.mark.parametrize(
    ("strategy", "turns", "words"),
    [
        ("zero-shot", 1, "\nA: "),
        ("zero-shot-cot", 2, "Let's think step by step."),
        ("few-shot-cot", 1, "Ann: heads. The answer is yes."),
    ],
)
def test_it_answers_as_one_question_alone_turn_by_turn(bases, strategy, turns, words, template) -> None:
    model, tokenizer, form = base(bases, "llama", template)
    judged = []

    def judge(answer, row):
        judged.append((row.question_id, answer))
        return evaluate.judge_with("careful")(answer, row)

    answer = measure.answers_of(run_of(strategy), model, tokenizer, form, judge)
    found = answer(QUESTIONS, None)
    assert [each.question_id for each in found] == [row.question_id for row in QUESTIONS]
    expected = [alone(model, tokenizer, strategy, row, template) for row in QUESTIONS]
    assert max(len(asked) for asked, _ in expected) == turns
    assert all(words in asked[0] for asked, _ in expected)
    assert judged == [
        (row.question_id, said.strip())
        for row, (_, said) in zip(QUESTIONS, expected, strict=True)
        if said.strip()
    ]
    assert judged, "this base says nothing: choose another"


def test_a_question_or_rationale_that_does_not_fit_says_so(bases) -> None:
    model, tokenizer, form = base(bases, "gpt2")  # 64 positions
    judge = evaluate.judge_with("careful")
    long = QUESTIONS[0].model_copy(update={"question": "Ann flips. " * 200})
    [found] = measure.answers_of(run_of("zero-shot"), model, tokenizer, form, judge)([long], None)
    assert not found.correct and found.reason.startswith("not asked: the question has ")
    model.generation_config.eos_token_id = None
    answer = measure.answers_of(run_of("zero-shot-cot", max_new_tokens=500), model, tokenizer, form, judge)
    [found] = answer([QUESTIONS[0].model_copy(update={"question": "Ann?"})], None)
    assert not found.correct and found.reason.endswith("(with its rationale)")


@pytest.mark.parametrize(
    ("strategy", "written", "text"),
    [
        (
            "few-shot-cot",
            " Bob: tails. The answer is no.\n\nQ: And now?\nA: The answer is yes.",
            "Bob: tails.\nno.",
        ),
        ("zero-shot", "<think>\nyes, no, yes\n</think>\n\nno", "no"),
        ("zero-shot", "<think>\nyes, and so on without an end", ""),
    ],
)
def test_its_answers_are_read_as_those_of_a_teacher(bases, monkeypatch, strategy, written, text) -> None:
    model, tokenizer, form = base(bases, "llama")
    monkeypatch.setattr(tokenizer, "decode", lambda ids, **options: written)
    judge = evaluate.judge_with("careful")
    [found] = measure.answers_of(run_of(strategy), model, tokenizer, form, judge)(QUESTIONS[:1], None)
    assert found.text == text and found.extracted == ("no" if text else None)


def test_a_special_token_that_a_question_spells_stays_text(bases) -> None:
    for template in (None, TEMPLATE):
        _, tokenizer, form = base(bases, "llama", template)
        end = tokenizer.eos_token
        [ids] = form.conversation_ids([[{"role": "user", "content": f"Is {end} heads?"}]])
        assert tokenizer.eos_token_id not in ids and "end> heads?" in tokenizer.decode(ids)


def test_a_template_of_the_user_is_known_to_the_base_and_the_marks_of_the_paper_are_not(bases) -> None:
    plain = FORMS["plain"].settings(type="plain", prompt="Question: {question}\nReply:")
    for settings, asked in ((plain, "Question: Heads?\nReply:"), (FIRST, "Heads?")):
        _, tokenizer, form = base(bases, "llama", form=settings)
        [ids] = form.conversation_ids([[{"role": "user", "content": "Heads?"}]])
        assert ids == tokenizer(asked)["input_ids"]
