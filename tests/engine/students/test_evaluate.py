from __future__ import annotations

import pytest

from engine.config.students import EvaluationConfig
from engine.methods import METHODS
from engine.students.ranks import Ranks, StopFlag, Stopped
from engine.students.token_rows import prompt_ids
from tests.engine.students.runs import CORE, COT, rows
from tests.lazily import Lazy

torch, transformers = Lazy("torch"), Lazy("transformers")
architecture = Lazy("engine.students.architecture")
evaluate = Lazy("engine.students.evaluate")

QUESTIONS = [row.question for row in rows()[1]]


@pytest.fixture(params=CORE)
def student(request, bases):
    base = bases[request.param]
    model = (
        architecture.auto_class(transformers.AutoConfig.from_pretrained(base)).from_pretrained(base).eval()
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(bases[request.param])
    evaluate.prepare_generation(model, tokenizer)
    return model, tokenizer


def by_hand(model, tokenizer, question: str, count: int) -> str:
    """The greedy continuation, one full forward pass a token."""
    kind = architecture.architecture_of(model)
    [ids] = prompt_ids(tokenizer, [question], kind.prompt_format)
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
    assert len({len(ids) for ids in prompt_ids(tokenizer, QUESTIONS)}) > 4
    expected = [by_hand(model, tokenizer, question, 10) for question in QUESTIONS]
    for size in (1, 5, 64):
        found = evaluate.generate(model, tokenizer, QUESTIONS, max_new_tokens=10, batch_size=size)
        assert found == expected
    assert len(set(expected)) > 4


def test_a_prompt_without_room_gets_no_answer_and_others_what_fits(bases) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(bases["gpt2"])  # 64 positions
    tokenizer = transformers.AutoTokenizer.from_pretrained(bases["gpt2"])
    evaluate.prepare_generation(model, tokenizer)
    model.generation_config.eos_token_id = None
    long, short = "Ann flips. " * 40, QUESTIONS[0]
    texts = evaluate.generate(model, tokenizer, [long, short], max_new_tokens=200, batch_size=1)
    room = 64 - len(prompt_ids(tokenizer, [short])[0])
    assert texts[0] == "" and texts[1] == by_hand_no_end(model, tokenizer, short, room)


def by_hand_no_end(model, tokenizer, question: str, count: int) -> str:
    [ids] = prompt_ids(tokenizer, [question])
    start = len(ids)
    with torch.inference_mode():
        while len(ids) < start + count:
            ids.append(int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return tokenizer.decode(ids[start:], skip_special_tokens=True)


def test_rows_are_graded_by_the_part_after_the_arrow() -> None:
    row = rows()[1][0].model_copy(update={"gold": "yes"})
    same = evaluate.judge_with("careful")
    right = evaluate.predict(row, " So no. --> yes END", method=COT, judge=same)
    assert (right.correct, right.extracted, right.question_id) == (True, "yes", row.question_id)
    without = evaluate.predict(row, " So it is yes", method=COT, judge=same)
    assert (without.correct, without.extracted) == (False, None) and "-->" in without.reason
    assert evaluate.predict(row, " yes END", method=METHODS["fine-tune"], judge=same).correct
    assert not evaluate.predict(row, " END", method=METHODS["fine-tune"], judge=same).correct


def test_results_are_counted_by_split_and_task(student) -> None:
    model, tokenizer = student
    stop = StopFlag()
    ask = {"method": COT, "judge": evaluate.judge_with("careful"), "ranks": Ranks(0, 0, 1)}
    config = EvaluationConfig(max_new_tokens=4)
    write = evaluate.writer(model, tokenizer, config, stop=stop)
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
        return [f" so. --> {said[place % len(said)]} END" for place in range(len(questions))]

    config = EvaluationConfig(samples=3, temperature=0.9)
    ask = {"method": COT, "judge": evaluate.judge_with("careful"), "ranks": Ranks(0, 0, 1)}
    dev = row.model_copy(update={"split": "dev"})
    first, second = evaluate.evaluate(write, [row, dev], config, **ask)
    assert asked == [None, 0.9]
    assert (first.correct, first.votes, first.majority_correct) == (False, ("yes", "no", "yes"), True)
    assert second.votes is None  # dev decides by greedy answers alone
    tested, developed = evaluate.results([first, second])
    assert (tested["accuracy"], tested["majority_of"], tested["majority"]) == (0.0, 3, 1.0)
    assert "majority" not in developed
    silent = evaluate.with_votes(first, [first.model_copy(update={"extracted": None})] * 2, "yes_no")
    assert (silent.majority, silent.majority_correct) == (None, False)


def test_a_batch_too_large_for_the_memory_is_halved_and_the_answers_stay(bases) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(bases["llama"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(bases["llama"])
    evaluate.prepare_generation(model, tokenizer)
    expected = evaluate.generate(model, tokenizer, QUESTIONS, max_new_tokens=3, batch_size=1)
    generate, sizes, notes = model.generate, [], []

    def greedy(input_ids, **more):
        sizes.append(len(input_ids))
        if len(input_ids) > 3:
            torch.empty(2**50, dtype=torch.uint8)  # no machine has that much
        return generate(input_ids=input_ids, **more)

    model.generate = greedy
    found = evaluate.generate(model, tokenizer, QUESTIONS, max_new_tokens=3, batch_size=16, note=notes.append)
    assert found == expected and sizes == [16, 8, 4, 2, 2, 2, 2, 2, 2, 2, 2, 1]
    assert notes[-1] == "out of memory with 4 questions per batch: continuing with 2"
    model.generate = lambda **_more: torch.empty(2**50, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        evaluate.generate(model, tokenizer, QUESTIONS[:2], max_new_tokens=3, batch_size=2)
