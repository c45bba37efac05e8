from __future__ import annotations

import pytest

from engine.config.students import EvaluationConfig
from engine.forms import FIRST, form_of
from engine.forms.base import BaseFacts
from engine.methods import METHODS
from engine.students.ranks import Ranks, StopFlag, Stopped
from engine.students.tokenizer import make_tokenizer, row_texts
from tests.engine.students.runs import CORE, COT, PAPER, paper, rows
from tests.lazily import Lazy

torch, transformers = Lazy("torch"), Lazy("transformers")
architecture = Lazy("engine.students.architecture")
evaluate = Lazy("engine.students.evaluate")

room = Lazy("engine.students.room")

ANSWERS = form_of(FIRST).outline(FIRST, METHODS["fine-tune"], BaseFacts())
QUESTIONS = [row.question for row in rows()[1]]


def form(model, tokenizer):
    return paper(tokenizer, architecture.architecture_of(model) is not architecture.DECODER)


@pytest.fixture(params=CORE)
def student(request, bases):
    base = bases[request.param]
    model = (
        architecture.auto_class(transformers.AutoConfig.from_pretrained(base)).from_pretrained(base).eval()
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(bases[request.param])
    evaluate.prepare_generation(model, tokenizer, form(model, tokenizer))
    return model, tokenizer


def answers(model, tokenizer, questions, note=lambda _message: None, **config) -> list[str]:
    """What the student writes."""
    write = evaluate.writer(
        model,
        tokenizer,
        form(model, tokenizer),
        EvaluationConfig(**config),
        stopping=lambda: False,
        note=note,
    )
    return [each.text for each in write(questions, None)]


def by_hand(model, tokenizer, question: str, count: int) -> str:
    """The greedy continuation, one full forward pass a token."""
    kind = architecture.architecture_of(model)
    [ids] = form(model, tokenizer).prompt_ids([question])
    written: list[int] = []
    with torch.inference_mode():
        while len(written) < count and (not written or written[-1] != tokenizer.eos_token_id):
            if isinstance(kind, architecture.EncoderDecoder):
                sides = {"input_ids": [ids], "decoder_input_ids": [[kind.start, *written]]}
            else:
                sides = {"input_ids": [ids + written]}
            logits = model(
                **{name: torch.tensor(side) for name, side in sides.items()}, use_cache=False
            ).logits
            written.append(int(logits[0, -1].argmax()))
    return tokenizer.decode(written, skip_special_tokens=True)


def test_a_batch_answers_as_each_question_alone(student) -> None:
    model, tokenizer = student
    assert len({len(ids) for ids in form(model, tokenizer).prompt_ids(QUESTIONS)}) > 4
    expected = [by_hand(model, tokenizer, question, 10) for question in QUESTIONS]
    for size in (1, 5, 64):
        found = answers(model, tokenizer, QUESTIONS, max_new_tokens=10, batch_size=size)
        assert found == expected
    assert len(set(expected)) > 4


LONG = " ".join(["Ann flips. Bob waits."] * 40)
LIMIT = 64
CROWDED = [
    *QUESTIONS,
    LONG,
    *(" ".join(["Ann flips."] * times) + " Heads?" for times in (11, 13, 14, 15, 18)),
]


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("batching", ["static", "continuous"])
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_an_answer_depends_on_its_question_alone(bases, kind, batching, ends) -> None:
    """Not on the size of its batch, the order of the questions, or what else is asked."""
    model = transformers.AutoModelForCausalLM.from_pretrained(bases[kind])
    model.config.max_position_embeddings = LIMIT
    tokenizer = transformers.AutoTokenizer.from_pretrained(bases[kind])
    evaluate.prepare_generation(model, tokenizer, form(model, tokenizer))
    if not ends:
        model.generation_config.eos_token_id = None
    lengths = [len(ids) for ids in form(model, tokenizer).prompt_ids(CROWDED)]
    rooms = [max(0, min(40, LIMIT - length)) for length in lengths]
    assert 0 in rooms and 40 in rooms and len(set(rooms)) > 5
    expected = [
        (by_hand if ends else by_hand_no_end)(model, tokenizer, question, count) if count else ""
        for question, count in zip(CROWDED, rooms, strict=True)
    ]
    config = {"batching": batching, "max_new_tokens": 40}
    for size in (1, 3, 64) if batching == "static" else (4,):
        assert answers(model, tokenizer, CROWDED, **config, batch_size=size) == expected
    assert answers(model, tokenizer, CROWDED[::-1], **config, batch_size=5) == expected[::-1]
    assert answers(model, tokenizer, CROWDED[::3], **config, batch_size=5) == expected[::3]


def test_positions_scaled_by_length_do_not_depend_on_the_batch() -> None:
    """With longrope, one sequence beyond the original context changes the positions of its whole batch."""
    [first, *_], tokenizer = rows()[0], make_tokenizer(row_texts(rows()[0], PAPER), 150)
    assert first
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "original_max_position_embeddings": 40,
            "short_factor": [1.0] * 4,
            "long_factor": [8.0] * 4,
            "factor": 6.4,
        },
    )
    model = transformers.LlamaForCausalLM(config).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    evaluate.prepare_generation(model, tokenizer, form(model, tokenizer))
    model.generation_config.eos_token_id = None
    alone = [answers(model, tokenizer, [each], max_new_tokens=20)[0] for each in CROWDED]
    assert room.written_alone_beyond(model.config) == 40
    assert answers(model, tokenizer, CROWDED, max_new_tokens=20, batch_size=8) == alone
    told: list[str] = []
    assert answers(model, tokenizer, CROWDED, told.append, max_new_tokens=20, batching="continuous") == alone
    assert "scaled by the length" in told[0]


def test_a_question_that_does_not_fit_is_wrong_for_a_stated_reason(bases) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(bases["gpt2"])  # 64 positions
    tokenizer = transformers.AutoTokenizer.from_pretrained(bases["gpt2"])
    evaluate.prepare_generation(model, tokenizer, form(model, tokenizer))
    config = EvaluationConfig(max_new_tokens=4)
    fits = rows()[1][-1]
    asked = [fits, fits.model_copy(update={"question": LONG, "question_id": 99})]
    ask = {"reader": PAPER, "judge": evaluate.judge_with("careful"), "ranks": Ranks(0, 0, 1)}
    write = evaluate.writer(model, tokenizer, form(model, tokenizer), config, stopping=lambda: False)
    answered, unasked = evaluate.evaluate(write, asked, config, **ask)
    assert answered.reason == COT.no_answer and answered.text
    assert (unasked.text, unasked.correct) == ("", False)
    assert unasked.reason == "not asked: the question has 241 tokens and the student's context 64"


def by_hand_no_end(model, tokenizer, question: str, count: int) -> str:
    [ids] = form(model, tokenizer).prompt_ids([question])
    start = len(ids)
    with torch.inference_mode():
        while len(ids) < start + count:
            ids.append(int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return tokenizer.decode(ids[start:], skip_special_tokens=True)


def test_rows_are_graded_by_the_part_after_the_arrow() -> None:
    row = rows()[1][0].model_copy(update={"gold": "yes"})
    same, said = evaluate.judge_with("careful"), room.Completion
    right = evaluate.predict(row, said(" So no. --> yes END"), reader=PAPER, judge=same)
    assert (right.correct, right.extracted, right.question_id) == (True, "yes", row.question_id)
    without = evaluate.predict(row, said(" So it is yes"), reader=PAPER, judge=same)
    assert (without.correct, without.extracted) == (False, None) and "-->" in without.reason
    assert evaluate.predict(row, said(" yes END"), reader=ANSWERS, judge=same).correct
    assert not evaluate.predict(row, said(" END"), reader=ANSWERS, judge=same).correct


def test_the_published_evaluator_reads_texts_without_an_arrow() -> None:
    """First candidate after the arrow, else the last of the text; the end mark is not part of it."""
    row = rows()[1][0].model_copy(update={"gold": "C", "answer_format": "choice"})
    published, said = evaluate.judge_with("published"), room.Completion

    def read(text: str, ended: bool | None = True):
        return evaluate.predict(row, said(text, ended=ended), reader=PAPER, judge=published)

    marked = read(" A and B. --> C, not D END")
    assert (marked.correct, marked.extracted, marked.correct_format, marked.complete) == (
        True,
        "C",
        True,
        True,
    )
    without = read(" A, B, then C END", None)
    assert (without.correct, without.correct_format, without.complete) == (True, False, None)
    assert read(" C, then A", False).extracted == "A"
    assert not read(" nothing at all").correct
    unasked = said(unasked="too long")
    assert evaluate.predict(row, unasked, reader=PAPER, judge=published).reason == "too long"
    plain = row.model_copy(update={"answer_format": "number", "gold": "3"})
    assert evaluate.predict(plain, said(" 3 or 4 END"), reader=ANSWERS, judge=published).correct, "the first"
    [table] = evaluate.results([marked, read(" C, then A", False)])
    assert (table["correct_format"], table["complete"]) == (0.5, 0.5)
    [unknown] = evaluate.results([marked, without])
    assert unknown["correct_format"] == 0.5 and "complete" not in unknown


def test_results_are_counted_by_split_and_task(student) -> None:
    model, tokenizer = student
    stop = StopFlag()
    ask = {"reader": PAPER, "judge": evaluate.judge_with("careful"), "ranks": Ranks(0, 0, 1)}
    config = EvaluationConfig(max_new_tokens=4)
    write = evaluate.writer(model, tokenizer, form(model, tokenizer), config, stopping=lambda: stop.set)
    found = evaluate.evaluate(write, rows()[1], config, **ask)
    assert [prediction.question_id for prediction in found] == [row.question_id for row in rows()[1]]
    table = evaluate.results(found)
    assert [(row["split"], row["task"], row["n"]) for row in table] == [
        ("dev", "coin", 4),
        ("dev", "flip", 4),
        ("test", "coin", 5),
        ("test", "flip", 4),
    ]
    stop.set = True
    with pytest.raises(Stopped):
        evaluate.evaluate(write, rows()[1], config, **ask)


def test_the_majority_of_sampled_answers_is_a_second_result() -> None:
    row = rows()[1][-1].model_copy(update={"gold": "yes"})
    assert row.split == "test"
    asked: list[float | None] = []

    def write(questions, temperature):
        asked.append(temperature)
        said = {None: ["no"], 0.9: ["yes", "no", "Yes"]}[temperature]
        return [room.Completion(f" so. --> {said[place % len(said)]} END") for place in range(len(questions))]

    config = EvaluationConfig(samples=3, temperature=0.9)
    ask = {"reader": PAPER, "judge": evaluate.judge_with("careful"), "ranks": Ranks(0, 0, 1)}
    dev = row.model_copy(update={"split": "dev"})
    first, second = evaluate.evaluate(write, [row, dev], config, **ask)
    assert asked == [None, 0.9]
    assert (first.correct, first.votes, first.majority_correct) == (False, ("yes", "no", "yes"), True)
    assert second.votes is None  # dev decides by greedy answers alone
    tested, developed = evaluate.results([first, second])
    assert (tested["accuracy"], tested["majority_of"], tested["majority"]) == (0.0, 3, 1.0)
    assert first.votes_correct == (True, False, True) and tested["repetitions"] == [1.0, 0.0, 1.0]
    assert "majority" not in developed
    silent = evaluate.with_votes(first, [first.model_copy(update={"extracted": None})] * 2, "yes_no")
    assert (silent.majority, silent.majority_correct) == (None, False)


def test_a_batch_too_large_for_the_memory_is_halved_and_the_answers_stay(bases) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(bases["llama"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(bases["llama"])
    evaluate.prepare_generation(model, tokenizer, form(model, tokenizer))
    expected = answers(model, tokenizer, QUESTIONS, max_new_tokens=3, batch_size=1)
    generate, sizes, notes = model.generate, [], []

    def greedy(input_ids, **more):
        sizes.append(len(input_ids))
        if len(input_ids) > 3:
            torch.empty(2**50, dtype=torch.uint8)  # no machine has that much
        return generate(input_ids=input_ids, **more)

    model.generate = greedy
    found = answers(model, tokenizer, QUESTIONS, notes.append, max_new_tokens=3, batch_size=16)
    assert found == expected and sizes == [16, 8, 4, 2, 2, 2, 2, 2, 2, 2, 2, 1]
    assert notes[-1] == "out of memory with 4 questions per batch: continuing with 2"
    model.generate = lambda **_more: torch.empty(2**50, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        answers(model, tokenizer, QUESTIONS[:2], max_new_tokens=3, batch_size=2)
