from __future__ import annotations

import pytest

from engine.errors import JobFailed
from engine.students.spec import EvalRow
from engine.students.token_rows import tokenize
from engine.students.tokenizer import leave_prompts_open, make_tokenizer, row_texts
from tests.engine.students.runs import PAPER, paper, rows
from tests.lazily import Lazy

tokenizers, transformers = Lazy("tokenizers"), Lazy("transformers")
architecture = Lazy("engine.students.architecture")
base_checks, room = Lazy("engine.students.base_checks"), Lazy("engine.students.room")


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(row_texts(rows()[0], PAPER), 150)


def closing(tokenizer, template: str):
    """A tokenizer that closes every text, as some published ones do."""
    end = tokenizer.eos_token
    tokenizer.backend_tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=template.format(end=end),
        pair=template.format(end=end) + f" $B {end}",
        special_tokens=[(end, tokenizer.eos_token_id)],
    )
    return tokenizer


def asked(tokenizer, questions: list[EvalRow], *, limit=None, most=10):
    found = room.read_questions(
        paper(tokenizer), [row.question for row in questions], architecture.DECODER, limit=limit, most=most
    )
    return list(zip(questions, found, strict=True))


def test_every_token_of_a_question_has_an_embedding(tokenizer) -> None:
    train, held = rows()
    taught, _ = tokenize(paper(tokenizer), train, max_length=500)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=len(tokenizer), n_embd=4, n_layer=1, n_head=1)
    )
    base_checks.check_tokens(model, "small", taught, asked(tokenizer, held))
    tokenizer.add_tokens(["Zoe"])
    odd = held[-1].model_copy(update={"question": "Zoe flips. Heads?"})
    with pytest.raises(
        JobFailed,
        match=rf"token {len(tokenizer) - 1} \(test question {odd.question_id} of coin\), but the model",
    ):
        base_checks.check_tokens(model, "small", taught, asked(tokenizer, [*held, odd]))


def test_questions_without_enough_room_are_counted(tokenizer) -> None:
    held = rows()[1]
    lengths = {row.split: [] for row in held}
    for row, each in asked(tokenizer, held):
        lengths[row.split].append(len(each.ids))
    assert list(base_checks.room_notes(asked(tokenizer, held, limit=500), 10)) == []
    limit = sorted(lengths["dev"])[-2]
    notes = list(base_checks.room_notes(asked(tokenizer, held, limit=limit), 10))
    over = sum(length >= limit for length in lengths["dev"])
    assert notes[0] == (
        f"{over} of 8 dev questions are longer than the student's context (up to {max(lengths['dev'])} tokens): they"
        " are not asked, and count as wrong"
    )
    assert any(
        "test questions leave less than evaluation.max_new_tokens = 10 tokens" in note for note in notes
    )


@pytest.mark.parametrize(
    ("template", "closes"), [("$A {end}", "<end>"), ("{end} $A {end} {end}", "<end><end>")]
)
def test_a_tokenizer_that_closes_prompts_leaves_them_open_also_in_its_export(
    template, closes, tmp_path
) -> None:
    made = closing(make_tokenizer(row_texts(rows()[0], PAPER), 150), template)
    before = made("Ann flips.")["input_ids"]
    prompt = paper(made).prompt_ids(["Ann flips."])
    assert leave_prompts_open(made) == (closes, False)
    after = made("Ann flips.")["input_ids"]
    assert before[: len(after)] == after and after[-1] != made.eos_token_id
    assert paper(made).prompt_ids(["Ann flips."]) == prompt
    made.save_pretrained(tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert again("Ann flips.")["input_ids"] == after
    assert leave_prompts_open(again) == ("", False)


def test_what_ends_an_answer_without_an_end_token(tokenizer, bases) -> None:
    assert base_checks.end_note(tokenizer, paper(tokenizer), "small") == ""
    without = make_tokenizer(row_texts(rows()[0], PAPER), 150)
    without.eos_token = None
    assert "the student ends an answer with 'END' and goes on" in base_checks.end_note(
        without, paper(without), "small"
    )
    with pytest.raises(JobFailed, match="the tokenizer of small has no end token"):
        base_checks.end_note(without, paper(without, True), "small")


def test_a_mixture_of_experts_is_trained_without_its_balance_and_says_so() -> None:
    size = {"vocab_size": 10, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 1, "num_key_value_heads": 1}
    experts = transformers.MixtralForCausalLM(
        transformers.MixtralConfig(**size, **heads, num_local_experts=2)
    )
    assert "MixtralForCausalLM is a mixture of experts" in base_checks.expert_note(experts)
    plain = transformers.LlamaForCausalLM(transformers.LlamaConfig(**size, **heads))
    assert base_checks.expert_note(plain) == ""
