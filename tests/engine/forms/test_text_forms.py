"""The forms of marks: paper and plain."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings, strategies

from engine.forms import FIRST, FORMS, default_settings, form_of
from engine.forms._text import TextOutline
from engine.forms.base import BaseFacts
from engine.forms.paper import CONTINUED, TRANSLATED
from engine.forms.plain import PlainSettings
from engine.methods import METHODS, TrainRow
from tests.engine.forms.families import FAMILIES, make_tokenizer
from tests.lazily import Lazy

transformers, tokenizers = Lazy("transformers"), Lazy("tokenizers")

COT, ANSWERS = METHODS["fine-tune-cot"], METHODS["fine-tune"]
PLAIN = PlainSettings(type="plain", prompt="Q: {question}\nA:", completion=" {target}.", end="\n---")
WORDS = ("-->", "--->", "END", "###", "---", "</s>", "the", ".", "Q:", "4", " ", "\n")
TEXTS = strategies.lists(strategies.sampled_from(WORDS), min_size=1, max_size=8).map("".join)


def row(rationale: str | None = "Two and two.", answer: str = "4", question: str = "How many?") -> TrainRow:
    return TrainRow(sample_id=1, question_id=1, question=question, rationale=rationale, answer=answer)


def test_the_paper_s_form() -> None:
    assert CONTINUED.prompt(" How many? \n") == "How many? ###"
    assert CONTINUED.completion("Two and two. --> 4") == " Two and two. --> 4 END"
    assert TRANSLATED.prompt(" How many? \n") == "How many?"
    assert TRANSLATED.completion("Two and two. --> 4") == "Two and two. --> 4"


def test_the_form_of_a_base_that_has_none() -> None:
    found = {
        (template, twice): default_settings(template=template, encoder_decoder=twice).type
        for template in (False, True)
        for twice in (False, True)
    }
    assert found == {
        (False, False): "paper",
        (False, True): "paper",
        (True, False): "chat",
        (True, True): "paper",
    }


@settings(deadline=None)
@given(
    marks=strategies.sampled_from([CONTINUED, TRANSLATED, PLAIN.marks]),
    rationale=strategies.none() | TEXTS,
    answer=TEXTS.filter(str.strip),
)
@example(marks=CONTINUED, rationale="one\nEND\ntwo --> 3", answer="the END of it")
@example(marks=PLAIN.marks, rationale="a\n--- b", answer="4.")
def test_what_is_written_is_read_back(marks, rationale, answer) -> None:
    outline = TextOutline(marks, ANSWERS if rationale is None else COT)
    assert outline.parse(outline.written(row(rationale, answer))) == answer.strip()


@pytest.mark.parametrize(
    ("text", "method", "answer"),
    [
        (" It is 4 --> 4 END", COT, "4"),
        (" --> END", COT, None),
        (" END 4", ANSWERS, None),
        (" 4 ENDING", ANSWERS, "4 ENDING"),
        (" a --> 4 END and so", COT, "4"),
    ],
)
def test_the_last_end_mark_ends_an_answer(text, method, answer) -> None:
    assert TextOutline(CONTINUED, method).parse(text) == answer


def test_without_an_end_token_the_first_end_mark_does() -> None:
    text = " Two. --> 4 END 5 --> 6 END"
    assert TextOutline(CONTINUED, COT, stops=False).parse(text) == "4"
    assert TextOutline(CONTINUED, COT).parse(text) == "4 END 5 --> 6"


@pytest.mark.parametrize("wanted", [FIRST, PLAIN], ids=["paper", "plain"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_exported_template_writes_the_trained_prompt(name, wanted, tmp_path) -> None:
    tokenizer = make_tokenizer(name)
    form = form_of(wanted).open(wanted, COT, tokenizer, encoder_decoder=False, note=print)
    questions = ["How many?", "  One\n\ntwo {x} 'three' \\n \"four\" \n"]
    tokenizer.chat_template = form.template
    tokenizer.save_pretrained(tmp_path)
    student = transformers.AutoTokenizer.from_pretrained(tmp_path)

    def applied(messages, **more):
        return student.apply_chat_template(messages, return_dict=False, **more)

    asked = [[{"role": "user", "content": each}] for each in questions]
    assert form.prompt_ids(questions) == [applied(each, add_generation_prompt=True) for each in asked]
    assert (
        applied([{"role": "system", "content": "Now:"}, *asked[0]])
        == form.prompt_ids(["Now:\n\nHow many?"])[0]
    )
    [(prompt, completion)] = form.row_ids([row()])
    target = {"role": "assistant", "content": COT.target(row())}
    # Tokenizers of Llama 2's kind put a space before a completion that is encoded by itself.
    whole, own = student.decode(applied([*asked[0], target])), student.decode(prompt + completion)
    assert whole.split() == own.split()


def test_an_encoder_reads_a_closed_prompt_from_its_template(tmp_path) -> None:
    tokenizer = make_tokenizer("qwen2.5")
    tokenizer.backend_tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A <|im_end|>", special_tokens=[("<|im_end|>", tokenizer.eos_token_id)]
    )
    form = form_of(FIRST).open(FIRST, COT, tokenizer, encoder_decoder=True, note=print)
    tokenizer.chat_template = form.template
    asked = [{"role": "user", "content": "How many?"}]
    [ids] = form.prompt_ids(["How many?"])
    assert (
        tokenizer.apply_chat_template(asked, return_dict=False) == ids and ids[-1] == tokenizer.eos_token_id
    )


@pytest.mark.parametrize("name", [*FAMILIES, "unigram"])
def test_special_tokens_that_a_question_or_rationale_spells_stay_text(name) -> None:
    tokenizer = unigram() if name == "unigram" else make_tokenizer(name)
    form = form_of(FIRST).open(FIRST, COT, tokenizer, encoder_decoder=False, note=print)
    specials = list(tokenizer.all_special_tokens)
    spelled = " ".join(specials)
    [(plain, _)] = form.row_ids([row()])
    [(prompt, completion)] = form.row_ids([row(f"So {spelled} is.", specials[0], f"Is {spelled}?")])
    ids = tokenizer.all_special_ids
    assert [each for each in prompt if each in ids] == [each for each in plain if each in ids]
    assert [each for each in completion if each in ids] == [tokenizer.eos_token_id]
    assert form.parse(form.decode(completion)) == specials[0]


def unigram():
    """As T5's: its special tokens are pieces of its vocabulary, with scores that any text prefers."""
    letters = [(letter, -5.0) for letter in "▁abcdefghijklmnopqrstuvwxyzSINDEHT</>?.-# "]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *letters]
    made = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=2))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    made.decoder = tokenizers.decoders.Metaspace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def test_a_plain_form_says_where_question_and_target_go() -> None:
    for wrong in ({"prompt": "Q:"}, {"completion": "A:"}, {"prompt": "{question} {question}"}):
        with pytest.raises(ValueError, match="once"):
            PlainSettings(type="plain", **wrong)
    outline = FORMS["plain"].outline(PLAIN, COT, BaseFacts())
    assert outline.example(row()) == {
        "prompt": "Q: How many?\nA:",
        "completion": " Two and two. --> 4.\n---",
    }
