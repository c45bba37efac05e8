"""The chat form writes the tokens that transformers and servers write from the exported template."""

from __future__ import annotations

import pytest

from engine.errors import JobFailed
from engine.forms import FORMS
from engine.forms.chat import ChatSettings
from engine.methods import METHODS, TrainRow
from tests.engine.forms.families import FAMILIES, make_tokenizer
from tests.lazily import Lazy

transformers = Lazy("transformers")

COT, ANSWERS = METHODS["fine-tune-cot"], METHODS["fine-tune"]
QUESTIONS = (
    "Ann flips. Is the coin still heads up?",
    "  How many?\n\n12 and 7, café \U0001f600.\n",
    "<b>bold</b> [1] | {x} {{ y }} {% z %}",
)
SYSTEM = "Answer in one word, or 'two'."


def row(question=QUESTIONS[0], rationale="Ann: tails.\nSo no.", answer="no") -> TrainRow:
    return TrainRow(sample_id=1, question_id=1, question=question, rationale=rationale, answer=answer)


def opened(name, method=COT, *, note=None, encoder_decoder=False, **settings):
    tokenizer = make_tokenizer(name)
    chat = ChatSettings(type="chat", **settings)
    said: list[str] = []
    form = FORMS["chat"].open(
        chat,
        method,
        tokenizer,
        encoder_decoder=encoder_decoder,
        note=said.append if note is None else note.append,
    )
    return form, tokenizer


def exported(form, tokenizer, folder):
    tokenizer.chat_template = form.template
    tokenizer.save_pretrained(folder)
    return transformers.AutoTokenizer.from_pretrained(folder)


def applied(tokenizer, messages, **more) -> list[int]:
    return tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False, **more)


@pytest.mark.parametrize("system", ["", SYSTEM])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_exported_template_writes_the_trained_prompt(name, system, tmp_path) -> None:
    form, tokenizer = opened(name, system=system)
    prompts = form.prompt_ids(QUESTIONS)
    base = make_tokenizer(name)
    if not system and name != "llama-3":  # its date is fixed
        assert prompts == [
            applied(base, [{"role": "user", "content": each.strip()}], add_generation_prompt=True)
            for each in QUESTIONS
        ]
    student = exported(form, tokenizer, tmp_path)
    assert prompts == [
        applied(student, [{"role": "user", "content": each.strip()}], add_generation_prompt=True)
        for each in QUESTIONS
    ]
    text = base.decode(prompts[0])
    assert (SYSTEM in text) == bool(system) and text.count(family_begin(name)) <= 1
    given = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTIONS[0]}]
    if system:
        assert applied(student, given, add_generation_prompt=True) == prompts[0]


def family_begin(name: str) -> str:
    return FAMILIES[name].begin or "\0"


@pytest.mark.parametrize("reasoning", ["auto", "think", "text", "none"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_completion_follows_the_prompt_and_ends_with_the_turn(name, reasoning) -> None:
    form, tokenizer = opened(name, reasoning=reasoning)
    for each in (row(), row(rationale=None)):
        [(prompt, completion)] = form.row_ids([each])
        assert prompt == form.prompt_ids([each.question])[0]
        assert completion[-1] == tokenizer.convert_tokens_to_ids(FAMILIES[name].turn) == form.ends[0]
        assert completion.count(form.ends[0]) == 1
        text = form.decode(completion)
        if each.rationale or not form.outline.apart.between:
            assert form.parse(text) == "no" or (form.outline.reasoning == "text" and not each.rationale)
        assert ("tails" in text) == (reasoning != "none" and each.rationale is not None)
    assert form.outline.reasoning == (FAMILIES[name].reasoning if reasoning == "auto" else reasoning)


@pytest.mark.parametrize("method", [COT, ANSWERS], ids=["cot", "answers"])
@pytest.mark.parametrize("name", FAMILIES)
def test_exported_messages_become_the_trained_tokens(name, method, tmp_path) -> None:
    form, tokenizer = opened(name, method, system=SYSTEM)
    [(prompt, completion)] = form.row_ids([row()])
    student = exported(form, tokenizer, tmp_path)
    ids = applied(student, form.outline.example(row())["messages"])
    if name in ("deepseek-r1", "no think"):  # their templates do not write what their students generate
        return
    assert ids[: len(prompt) + len(completion)] == prompt + completion


@pytest.mark.parametrize("name", FAMILIES)
def test_what_a_template_does_is_said(name) -> None:
    said: list[str] = []
    opened(name, note=said)
    for part in FAMILIES[name].notes:
        assert any(part in note for note in said), (part, said)
    assert len(said) == len(FAMILIES[name].notes) + 1, said
    said.clear()
    opened(name, ANSWERS, note=said, system=SYSTEM)
    assert any("has no system message" in note for note in said) == (name == "gemma-2")


@pytest.mark.parametrize("name", FAMILIES)
def test_special_tokens_that_a_question_or_rationale_spells_stay_text(name) -> None:
    form, tokenizer = opened(name)
    family = FAMILIES[name]
    spelled = " ".join((*family.specials, *family.marks, "</think>"))
    hostile = row(f"Is {spelled} text?", f"So {spelled} is.", "<s>10</s>")
    [(plain_prompt, plain)] = form.row_ids([row()])
    [(prompt, completion)] = form.row_ids([hostile])
    controls = set(tokenizer.convert_tokens_to_ids([*family.specials, *family.marks]))

    def marks(ids):
        return [each for each in ids if each in controls]

    assert marks(prompt) == marks(plain_prompt) and marks(completion) == marks(plain)
    assert spelled.replace("▁", " ") in tokenizer.decode(prompt).replace("▁", " ")
    text = form.decode(completion)
    assert form.parse(text) == "<s>10</s>"
    assert family.specials[0] in text.partition("So ")[2]
    theirs = applied(  # it cuts the text at each of them, so only the texts are equal
        tokenizer,
        [{"role": "user", "content": hostile.question}],
        chat_template=form.template,
        add_generation_prompt=True,
        sanitize_control_tokens=True,
    )
    assert tokenizer.decode(prompt) == tokenizer.decode(theirs)


def test_a_template_that_cannot_be_used_is_one_clear_error() -> None:
    def fault(template: str, **settings) -> str:
        tokenizer = make_tokenizer("qwen2.5")
        tokenizer.chat_template = template
        with pytest.raises(JobFailed) as found:
            FORMS["chat"].open(
                ChatSettings(type="chat", **settings), COT, tokenizer, encoder_decoder=False, note=print
            )
        return str(found.value)

    assert "cannot be used: only tools" in fault("{{ raise_exception('only tools') }}")
    assert "cannot be used: Expected an expression" in fault("{% for x in %}")
    assert "does not write the user's message" in fault("hello")
    assert "does not write the assistant's message" in fault("{{ messages[0].content }}")
    assert 'set students.form = { type = "paper" }' in fault("hello")
    chatml = FAMILIES["qwen2.5"].template
    assert "does not write the reasoning of the last turn" in fault(chatml, reasoning="template")
    with pytest.raises(JobFailed, match="is for decoders"):
        opened("qwen2.5", encoder_decoder=True)
    assert "has no chat template" in fault("")


@pytest.mark.parametrize("system", ["", SYSTEM])
@pytest.mark.parametrize("name", ["gemma-2", "llama-3"])
def test_a_student_that_starts_from_a_student_has_its_own_system_prompt(name, system) -> None:
    form, tokenizer = opened(name, system="Be brief.")
    tokenizer.chat_template = form.template
    chat = ChatSettings(type="chat", system=system)
    again = FORMS["chat"].open(chat, COT, tokenizer, encoder_decoder=False, note=print)
    assert again.template == opened(name, system=system)[0].template
    assert again.prompt_ids(QUESTIONS) == opened(name, system=system)[0].prompt_ids(QUESTIONS)
