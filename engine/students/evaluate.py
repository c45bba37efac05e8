"""Generates the answers of a student and grades them.

Prompts are batched by length and padded, and the attention mask (and with it the positions) matches, so the answer to a
question does not depend on its batch. Decoding is greedy; the answers to test questions may also be sampled, and their
majority is a second result. Ranks share the questions and exchange their answers, so every rank knows the result. The
graders are those of the teachers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from engine.confidence_interval import wilson
from engine.config.students import EvaluationConfig
from engine.grading.majority import majority
from engine.grading.verdict import Verdict
from engine.methods import Method
from engine.students.architecture import architecture_of
from engine.students.continuous import can_batch, generate_continuously
from engine.students.out_of_memory import is_out_of_memory
from engine.students.ranks import Ranks, StopFlag, Stopped
from engine.students.spec import EvalRow
from engine.students.token_rows import prompt_ids
from engine.students.tokenizer import pad_id

Judge = Callable[[str, EvalRow], Verdict]
"""Grades the answer in a completion."""


class Prediction(BaseModel):
    """The answer of a student to one question: a line of predictions.jsonl."""

    model_config = ConfigDict(frozen=True)

    question_id: int
    task: str
    split: str
    text: str
    extracted: str | None
    correct: bool
    reason: str
    votes: tuple[str | None, ...] | None = None
    """The answers read from sampled completions, if there are any."""
    majority: str | None = None
    """The answer of most of them."""
    majority_correct: bool | None = None


def judge_with(grader: str) -> Judge:
    """The judge that uses the grader of that name, as for the completions of teachers."""
    from engine.grading import grade

    def judge(answer: str, row: EvalRow) -> Verdict:
        return grade(answer, row.gold, row.answer_format, question=row.question, grader=grader)

    return judge


def prepare_generation(model: Any, tokenizer: Any) -> None:
    """Makes greedy decoding the default of the model, here and in its export.

    The settings of a base model (temperature, repetition penalties) would change greedy answers too.
    """
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=pad_id(tokenizer),
        **architecture_of(model).generation(),
    )


def positions(model: Any) -> int | None:
    """The context length of a model; None if it has no limit."""
    return config_positions(model.config)


def config_positions(config: Any) -> int | None:
    """The context length in a model configuration; None if it has no limit."""
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
    """The completions of the student, in the order of the questions.

    A prompt that fills the context of the model gets an empty completion. If memory is too small for `batch_size`
    questions, the batch is halved and `note` is told. With a `temperature`, answers are sampled from torch's random state.

    Raises:
        Stopped: `stopping` returned true between two batches.
    """
    architecture = architecture_of(model)
    prompts = prompt_ids(tokenizer, questions, architecture.prompt_format)
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
            room = max_new_tokens if limit is None else min(max_new_tokens, architecture.room(longest, limit))
            start += len(chosen)
            if room <= 0:
                continue
            try:
                written = architecture.continuations(
                    model, [prompts[index] for index in chosen], pad=pad, count=room, temperature=temperature
                )
            except Exception as error:
                if len(chosen) == 1 or not is_out_of_memory(error):
                    raise
                start, batch_size = start - len(chosen), len(chosen) // 2
                note(f"out of memory with {len(chosen)} questions per batch: continuing with {batch_size}")
                continue
            for index, tokens in zip(chosen, written, strict=True):
                texts[index] = tokenizer.decode(tokens, skip_special_tokens=True)
    finally:
        model.train(was_training)
    return texts


Write = Callable[[Sequence[str], float | None], list[str]]
"""Writes the completions of questions, in order: greedy, or sampled at a temperature. May raise `Stopped`."""


def writer(
    model: Any,
    tokenizer: Any,
    config: EvaluationConfig,
    *,
    stop: StopFlag,
    note: Callable[[str], None] = lambda _message: None,
) -> Write:
    """A writer that uses a model of this process, as configured."""

    def write(questions: Sequence[str], temperature: float | None) -> list[str]:
        if config.batching == "continuous" and temperature is None:
            if can_batch(model):
                return generate_continuously(model, tokenizer, questions, config, stopping=lambda: stop.set)
            note(
                'evaluation.batching = "continuous" supports decoders only: this model is evaluated in static batches'
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
    method: Method,
    judge: Judge,
    ranks: Ranks,
    seed: int = 0,
    alone: bool = False,
) -> list[Prediction]:
    """Predictions for all rows, in order; the same on every rank.

    Args:
        write: writes the completions.
        rows: the questions. Those of the test split also get sampled answers if `config.samples` is set.
        config: how they are evaluated.
        method: reads the answers in completions.
        judge: grades the answers.
        ranks: the ranks that share the work.
        seed: the seed of sampled answers.
        alone: only the first rank asks, for all questions.

    Raises:
        Stopped: a rank was asked to stop; nothing of this evaluation is kept.
    """
    mine = list(range(ranks.rank, len(rows), ranks.world))
    if alone:
        mine = list(range(len(rows))) if ranks.first else []
    answers: list[tuple[int, Prediction]] | None
    try:
        texts = write([rows[index].question for index in mine], None)
        answers = [
            (index, predict(rows[index], text, method=method, judge=judge))
            for index, text in zip(mine, texts, strict=True)
        ]
        tested = [place for place, index in enumerate(mine) if rows[index].split == "test"]
        if config.samples and tested:
            asked = [rows[mine[place]] for place in tested]
            sampled = _sampled(write, asked, config, method=method, judge=judge, seed=(seed, ranks.rank))
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
    method: Method,
    judge: Judge,
    seed: tuple[int, int],
) -> list[list[Prediction]]:
    """`config.samples` graded answers per row."""
    import torch

    torch.manual_seed((seed[0] * 1_000_003 + seed[1]) % 2**63)
    asked = [row.question for row in rows for _ in range(config.samples)]
    texts = iter(write(asked, config.temperature))
    return [
        [predict(row, next(texts), method=method, judge=judge) for _ in range(config.samples)] for row in rows
    ]


def with_votes(greedy: Prediction, sampled: Sequence[Prediction], answer_format: str) -> Prediction:
    """The greedy answer with the majority of the sampled ones. A question without any sampled answer counts as wrong."""
    votes = tuple(each.extracted for each in sampled)
    most = majority(votes, answer_format)
    return greedy.model_copy(
        update={
            "votes": votes,
            "majority": most.answer if most else None,
            "majority_correct": sampled[most.first].correct if most else False,
        }
    )


def predict(row: EvalRow, text: str, *, method: Method, judge: Judge) -> Prediction:
    """Grades one completion."""
    answer = method.parse(text)
    if answer is None:
        verdict = Verdict(correct=False, extracted=None, reason=method.no_answer)
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

    With sampled answers also their number per question (majority_of) and the accuracy of their majority.
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
