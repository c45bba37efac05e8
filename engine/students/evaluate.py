"""Answers of a student to questions, and what they are worth.

Prompts are batched by length and padded, with the attention mask (and the positions that follow from it)
to match: a question's answer does not depend on its batch. Decoding is greedy; of test questions answers may be sampled
as well, whose majority is a second result. Ranks share
the questions and exchange their answers, so each knows the result. The graders are those of the teachers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from engine.config.students import EvaluationConfig
from engine.grading.majority import majority
from engine.grading.verdict import Verdict
from engine.students import template
from engine.students.architecture import kind_of
from engine.students.continuous import can_batch, generate_continuously
from engine.students.interval import wilson
from engine.students.memory import is_out_of_memory
from engine.students.ranks import Ranks, StopFlag, Stopped
from engine.students.rows import prompt_ids
from engine.students.spec import EvalRow
from engine.students.tokenizer import pad_id

Judge = Callable[[str, EvalRow], Verdict]
"""Grades the answer part of a completion."""


class Prediction(BaseModel):
    """A student's answer to one question: a line of predictions.jsonl."""

    model_config = ConfigDict(frozen=True)

    question_id: int
    task: str
    split: str
    text: str
    extracted: str | None
    correct: bool
    reason: str
    votes: tuple[str | None, ...] | None = None
    """What was extracted from sampled answers, where there are any."""
    majority: str | None = None
    """What most of them say."""
    majority_correct: bool | None = None


def judge_with(grader: str) -> Judge:
    """The grader of that name, as the teachers' completions are graded."""
    from engine.grading import grade

    def judge(answer: str, row: EvalRow) -> Verdict:
        return grade(answer, row.gold, row.answer_format, question=row.question, grader=grader)

    return judge


def prepare_generation(model: Any, tokenizer: Any) -> None:
    """Makes greedy decoding the model's default, here and in its export.

    What a base model came with (temperature, repetition penalties) would change greedy answers too.
    """
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=pad_id(tokenizer),
        **kind_of(model).generation(),
    )


def positions(model: Any) -> int | None:
    """How many tokens the model can see; None where it does not say."""
    return config_positions(model.config)


def config_positions(config: Any) -> int | None:
    """The same, of a configuration."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def generate(
    model: Any,
    tokenizer: Any,
    questions: Sequence[str],
    *,
    max_new_tokens: int,
    batch_size: int,
    temperature: float | None = None,
    stopping: Callable[[], bool] = lambda: False,
    note: Callable[[str], None] = lambda _message: None,
) -> list[str]:
    """The student's completions, in the order of the questions.

    A prompt that leaves no room in the model's context gets an empty one. Where the memory is too small for
    `batch_size` questions they are answered half as many at a time, and `note` is told. With a `temperature` answers
    are sampled, from torch's random state.

    Raises:
        Stopped: `stopping` said so between two batches.
    """
    kind = kind_of(model)
    prompts = prompt_ids(tokenizer, questions, kind.form)
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    limit = positions(model)
    texts = [""] * len(prompts)
    pad = pad_id(tokenizer)
    was_training = model.training
    model.eval()
    try:
        start = 0
        while start < len(order):
            if stopping():
                raise Stopped
            chosen = order[start : start + batch_size]
            longest = len(prompts[chosen[-1]])
            room = max_new_tokens if limit is None else min(max_new_tokens, kind.room(longest, limit))
            start += len(chosen)
            if room <= 0:
                continue
            try:
                written = kind.continuations(
                    model, [prompts[index] for index in chosen], pad=pad, count=room, temperature=temperature
                )
            except Exception as error:
                if len(chosen) == 1 or not is_out_of_memory(error):
                    raise
                start, batch_size = start - len(chosen), len(chosen) // 2
                note(f"out of memory with {len(chosen)} questions at a time: goes on with {batch_size}")
                continue
            for index, tokens in zip(chosen, written, strict=True):
                texts[index] = tokenizer.decode(tokens, skip_special_tokens=True)
    finally:
        model.train(was_training)
    return texts


Write = Callable[[Sequence[str], float | None], list[str]]
"""Completions of questions, in their order: greedy, or sampled at a temperature. May raise `Stopped`."""


def writer(
    model: Any,
    tokenizer: Any,
    config: EvaluationConfig,
    *,
    stop: StopFlag,
    note: Callable[[str], None] = lambda _message: None,
) -> Write:
    """Has a model of this process write, as configured."""

    def write(questions: Sequence[str], temperature: float | None) -> list[str]:
        if config.batching == "continuous" and temperature is None:
            if can_batch(model):
                return generate_continuously(model, tokenizer, questions, config, stopping=lambda: stop.set)
            note(
                'evaluation.batching = "continuous" is for decoders: this model is evaluated in static batches'
            )
        return generate(
            model,
            tokenizer,
            questions,
            max_new_tokens=config.max_new_tokens,
            batch_size=config.batch_size,
            temperature=temperature,
            stopping=lambda: stop.set,
            note=note,
        )

    return write


def evaluate(
    write: Write,
    rows: Sequence[EvalRow],
    config: EvaluationConfig,
    *,
    rationale: bool,
    judge: Judge,
    ranks: Ranks,
    seed: int = 0,
    alone: bool = False,
) -> list[Prediction]:
    """Predictions for all rows, in their order; the same on every rank.

    Args:
        write: who writes the completions.
        rows: the questions. Those of the test split get sampled answers as well, where `config.samples` asks for them.
        config: how they are evaluated.
        rationale: whether completions have a rationale before the answer.
        judge: who grades.
        ranks: who shares the work.
        seed: of what is sampled.
        alone: the first rank asks for all of them.

    Raises:
        Stopped: some rank was asked to stop; nothing of the evaluation is kept.
    """
    mine = list(range(ranks.rank, len(rows), ranks.world))
    if alone:
        mine = list(range(len(rows))) if ranks.first else []
    answers: list[tuple[int, Prediction]] | None
    try:
        texts = write([rows[index].question for index in mine], None)
        answers = [
            (index, predict(rows[index], text, rationale=rationale, judge=judge))
            for index, text in zip(mine, texts, strict=True)
        ]
        tested = [place for place, index in enumerate(mine) if rows[index].split == "test"]
        if config.samples and tested:
            asked = [rows[mine[place]] for place in tested]
            sampled = _sampled(
                write, asked, config, rationale=rationale, judge=judge, seed=(seed, ranks.rank)
            )
            for place, votes in zip(tested, sampled, strict=True):
                index, greedy = answers[place]
                answers[place] = index, with_votes(greedy, votes, rows[index].answer_format)
    except Stopped:
        answers = None
    shares = ranks.gather(answers)
    if any(share is None for share in shares):
        raise Stopped
    found = dict(pair for share in shares for pair in share)
    return [found[index] for index in range(len(rows))]


def _sampled(
    write: Write,
    rows: Sequence[EvalRow],
    config: EvaluationConfig,
    *,
    rationale: bool,
    judge: Judge,
    seed: tuple[int, int],
) -> list[list[Prediction]]:
    """`config.samples` graded answers to each row."""
    import torch

    torch.manual_seed((seed[0] * 1_000_003 + seed[1]) % 2**63)
    asked = [row.question for row in rows for _ in range(config.samples)]
    texts = iter(write(asked, config.temperature))
    return [
        [predict(row, next(texts), rationale=rationale, judge=judge) for _ in range(config.samples)]
        for row in rows
    ]


def with_votes(greedy: Prediction, sampled: Sequence[Prediction], answer_format: str) -> Prediction:
    """The greedy answer with what most of the sampled ones say; without an answer among them that is wrong."""
    votes = tuple(each.extracted for each in sampled)
    most = majority(votes, answer_format)
    return greedy.model_copy(
        update={
            "votes": votes,
            "majority": most.answer if most else None,
            "majority_correct": sampled[most.first].correct if most else False,
        }
    )


def predict(row: EvalRow, text: str, *, rationale: bool, judge: Judge) -> Prediction:
    """What one completion is worth."""
    answer = template.parse(text, rationale=rationale)
    if answer is None:
        reason = f"no answer: the text ends without {template.ARROW!r}" if rationale else "no answer: empty"
        verdict = Verdict(correct=False, extracted=None, reason=reason)
    else:
        verdict = judge(answer, row)
    return Prediction(
        question_id=row.question_id,
        task=row.task,
        split=row.split,
        text=text,
        extracted=verdict.extracted,
        correct=verdict.correct,
        reason=verdict.reason,
    )


def results(predictions: Iterable[Prediction]) -> list[dict[str, Any]]:
    """Accuracy by split and task, in order of appearance: n, correct, accuracy, low and high (95 %).

    Where answers were sampled: how many a question (majority_of), and the accuracy of their majority.
    """
    groups: dict[tuple[str, str], list[Prediction]] = {}
    for prediction in predictions:
        groups.setdefault((prediction.split, prediction.task), []).append(prediction)
    table = []
    for (split, task), group in groups.items():
        n, correct = len(group), sum(prediction.correct for prediction in group)
        low, high = wilson(correct, n)
        row: dict[str, Any] = {"split": split, "task": task, "n": n, "correct": correct}
        row |= {"accuracy": correct / n, "low": low, "high": high}
        if group[0].votes is not None:
            agreed = sum(bool(prediction.majority_correct) for prediction in group)
            row |= {"majority_of": len(group[0].votes), "majority": agreed / n}
        table.append(row)
    return table
