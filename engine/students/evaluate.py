"""Has a student answer questions, and grades the answers.

Decoding is greedy; the answers to test questions may also be sampled, and their majority is a second result. Ranks share
the questions and exchange their answers, so every rank knows the result. The graders are those of the teachers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from engine.config.students import EvaluationConfig
from engine.forms import TokenForm
from engine.grading.majority import majority
from engine.grading.verdict import Verdict
from engine.methods import Asking, Method
from engine.students.architecture import Architecture, architecture_of
from engine.students.continuous import can_batch, generate_continuously
from engine.students.conversations import Write, converse
from engine.students.logit_ensemble import LogitEnsemble
from engine.students.part_models import PartModels, by_part
from engine.students.ranks import Ranks, Stopped
from engine.students.room import Completion, positions, read_questions
from engine.students.spec import EvalRow
from engine.students.static_batches import write_in_batches
from engine.students.tokenizer import pad_id
from state.confidence_interval import wilson


class Judge(Protocol):
    """Grades completions."""

    def __call__(self, answer: str, row: EvalRow, /) -> Verdict:
        """The verdict on the answer in a completion."""

    def unmarked(self, text: str, row: EvalRow, /) -> Verdict | None:
        """The verdict on a completion in which no answer is marked; None: it has none."""


class AnswerReader(Protocol):
    """Reads the answer in a completion: the form of the student."""

    @property
    def no_answer(self) -> str:
        """Why a completion counts as wrong when there is none."""

    def parse(self, text: str) -> str | None:
        """The answer; None if there is none."""

    def body(self, text: str) -> str:
        """The text without the marks around it."""


@dataclass(frozen=True, slots=True)
class MethodReader:
    """Reads the answer in a conversation: its text has the marks of the method, and none of the form."""

    method: Method

    @property
    def no_answer(self) -> str:
        """The method's."""
        return self.method.no_answer

    def parse(self, text: str) -> str | None:
        """The method's."""
        return self.method.parse(text)

    def body(self, text: str) -> str:
        """The text."""
        return text.strip()


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
    complete: bool | None = None
    """Whether it ended by itself, and not at the token limit; None: unknown."""
    correct_format: bool | None = None
    """Whether it has the mark of an answer (`correct_format` of Ho et al.); None: unknown."""
    votes: tuple[str | None, ...] | None = None
    """The answers read from sampled completions, if there are any."""
    votes_correct: tuple[bool, ...] | None = None
    """Whether each of them is correct: the results of repeated inference."""
    majority: str | None = None
    """The answer of most of them."""
    majority_correct: bool | None = None
    prompt_tokens: int | None = None
    """Of the greedy answer, over its turns; None: unknown, as the others below."""
    tokens: int | None = None
    """Written."""
    turns: int | None = None
    flops: float | None = None
    """Of reading its prompts and writing it."""


@dataclass(frozen=True, slots=True)
class GraderJudge:
    """The judge that uses the grader of that name, as for the completions of teachers."""

    grader: str

    def __call__(self, answer: str, row: EvalRow, /) -> Verdict:
        """The grader's verdict."""
        from engine.grading import grade

        return grade(answer, row.gold, row.answer_format, question=row.question, grader=self.grader)

    def unmarked(self, text: str, row: EvalRow, /) -> Verdict | None:
        """The grader's verdict, if it reads such texts."""
        from engine.grading import grade_unmarked

        return grade_unmarked(text, row.gold, row.answer_format, question=row.question, grader=self.grader)


def judge_with(grader: str) -> Judge:
    """The judge that uses the grader of that name."""
    return GraderJudge(grader)


def prepare_generation(model: Any, tokenizer: Any, form: TokenForm) -> None:
    """Makes greedy decoding, up to an end of the form, the default of the model, here and in its export.

    The settings of a base model (temperature, repetition penalties) would change greedy answers too.
    """
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=None if not form.ends else form.ends[0] if len(form.ends) == 1 else list(form.ends),
        pad_token_id=pad_id(tokenizer),
        **architecture_of(model).generation(),
    )


Answer = Callable[[Sequence[EvalRow], float | None], list[Prediction]]
"""Answers questions, in order: greedy, or sampled at a temperature. May raise `Stopped`."""


def writer(
    model: Any,
    tokenizer: Any,
    form: TokenForm,
    config: EvaluationConfig,
    *,
    stopping: Callable[[], bool],
    note: Callable[[str], None] = lambda _message: None,
) -> Write:
    """A writer that uses a model of this process, as configured: of a student in parts, the model of each turn's part."""
    if isinstance(model, PartModels):
        writers = {
            part: writer(each, tokenizer, form, config, stopping=stopping, note=note)
            for part, each in model.parts.items()
        }
        return by_part(writers, form.method)
    architecture, limit = architecture_of(model), positions(model)
    costs = costs_of(model, architecture)

    def write(questions: Sequence[str | Asking], temperature: float | None) -> list[Completion]:
        asked = read_questions(form, questions, architecture, limit=limit, most=config.max_new_tokens)
        # Continuous batching has one room for all: those with less are answered in static batches.
        whole = [index for index, each in enumerate(asked) if each.count == config.max_new_tokens]
        written: dict[int, Completion] = {}
        if config.batching == "continuous" and temperature is None:
            if can_batch(model):
                done = generate_continuously(
                    model, form, [asked[index].ids for index in whole], config, stopping=stopping
                )
                written = dict(zip(whole, done, strict=True))
            else:
                note(
                    'evaluation.batching = "continuous" supports decoders only, no prefix, and no positions that are scaled by the'
                    " length: this model is evaluated in static batches"
                )
        others = [index for index in range(len(asked)) if index not in written]
        found = write_in_batches(
            model,
            pad_id(tokenizer),
            form.decode,
            [asked[index] for index in others],
            batch_size=config.batch_size,
            temperature=temperature,
            stopping=stopping,
            note=note,
        )
        written |= zip(others, found, strict=True)
        return [with_flops(written[index], architecture, costs) for index in range(len(asked))]

    return write


Costs = Sequence[tuple[Any, tuple[int, int]]]
"""Of each model that writes together: its configuration, and its weights (`Architecture.sides`)."""


def costs_of(model: Any, architecture: Architecture) -> Costs:
    """The cost of an answer of a model, or of each member of an ensemble."""
    members = [*model.members] if isinstance(model, LogitEnsemble) else [model]
    return [(each.config, architecture.sides(each)) for each in members]


def with_flops(completion: Completion, architecture: Architecture, costs: Costs) -> Completion:
    """A completion with what it cost the models that wrote it."""
    if not completion.prompt_tokens:
        return completion
    read, wrote = completion.prompt_tokens, completion.tokens
    flops = sum(architecture.answer_flops(config, weights, read, wrote) for config, weights in costs)
    return replace(completion, flops=flops)


def evaluate(
    write: Write,
    rows: Sequence[EvalRow],
    config: EvaluationConfig,
    *,
    reader: AnswerReader,
    judge: Judge,
    ranks: Ranks,
    method: Method | None = None,
    guidance: str = "none",
    seed: int = 0,
    alone: bool = False,
    put: Callable[[EvalRow], str] | None = None,
) -> list[Prediction]:
    """Predictions of a trained student for all rows: see `share`.

    Args:
        write: writes the completions.
        rows: the questions.
        config: how they are evaluated.
        reader: reads the answers in completions; those of conversations are read by the method.
        judge: grades the answers.
        ranks: the ranks that share the work.
        method: of the student; None: it writes one completion to a question.
        guidance: what it writes before its first turn.
        seed: the seed of sampled answers.
        alone: only the first rank asks, for all questions.
        put: what the student is asked about a row; None: its question.

    Raises:
        Stopped: a rank was asked to stop; nothing of this evaluation is kept.
    """

    def answer(asked: Sequence[EvalRow], temperature: float | None) -> list[Prediction]:
        questions = [row.question if put is None else put(row) for row in asked]
        completions = converse(method, guidance, write, questions, temperature)
        return [
            predict(
                row, each, reader=MethodReader(method) if method and method.roles else reader, judge=judge
            )
            for row, each in zip(asked, completions, strict=True)
        ]

    return share(answer, rows, config, ranks=ranks, seed=seed, alone=alone)


def share(
    answer: Answer,
    rows: Sequence[EvalRow],
    config: EvaluationConfig,
    *,
    ranks: Ranks,
    seed: int = 0,
    alone: bool = False,
) -> list[Prediction]:
    """Predictions for all rows, in order; the same on every rank.

    Those of the test split also get sampled answers if `config.samples` is set.

    Raises:
        Stopped: a rank was asked to stop; nothing of this evaluation is kept.
    """
    mine = list(range(ranks.rank, len(rows), ranks.world))
    if alone:
        mine = list(range(len(rows))) if ranks.first else []
    answers: list[tuple[int, Prediction]] | None
    try:
        answers = list(zip(mine, answer([rows[index] for index in mine], None), strict=True))
        tested = [place for place, index in enumerate(mine) if rows[index].split == "test"]
        if config.samples and tested:
            asked = [rows[mine[place]] for place in tested]
            sampled = _sampled(answer, asked, config, seed=(seed, ranks.rank))
            for place, votes in zip(tested, sampled, strict=True):
                index, greedy = answers[place]
                answers[place] = index, with_votes(greedy, votes, rows[index].answer_format)
    except Stopped:
        answers = None
    shares = ranks.gather(answers)
    if any(each is None for each in shares):
        raise Stopped
    found = dict(pair for each in shares for pair in each)
    return [found[index] for index in range(len(rows))]


def _sampled(
    answer: Answer, rows: Sequence[EvalRow], config: EvaluationConfig, *, seed: tuple[int, int]
) -> list[list[Prediction]]:
    """`config.samples` graded answers per row."""
    import torch

    torch.manual_seed((seed[0] * 1_000_003 + seed[1]) % 2**63)
    found = iter(answer([row for row in rows for _ in range(config.samples)], config.temperature))
    return [[next(found) for _ in range(config.samples)] for _ in rows]


def with_votes(greedy: Prediction, sampled: Sequence[Prediction], answer_format: str) -> Prediction:
    """The greedy answer with the majority of the sampled ones. A question without any sampled answer counts as wrong."""
    votes = tuple(each.extracted for each in sampled)
    most = majority(votes, answer_format)
    return greedy.model_copy(
        update={
            "votes": votes,
            "votes_correct": tuple(each.correct for each in sampled),
            "majority": most.answer if most else None,
            "majority_correct": sampled[most.first].correct if most else False,
        }
    )


def predict(row: EvalRow, completion: Completion, *, reader: AnswerReader, judge: Judge) -> Prediction:
    """Grades one completion. A question that the student was not asked counts as wrong, with the reason."""
    answer = None if completion.unasked else reader.parse(completion.text)
    verdict = None
    if answer is not None:
        verdict = judge(answer, row)
    elif not completion.unasked:
        verdict = judge.unmarked(reader.body(completion.text), row)
    if verdict is None:
        verdict = Verdict(correct=False, extracted=None, reason=completion.unasked or reader.no_answer)
    return Prediction(
        question_id=row.question_id,
        task=row.task,
        split=row.split,
        text=completion.text,
        extracted=verdict.extracted,
        correct=verdict.correct,
        reason=verdict.reason,
        complete=completion.ended,
        correct_format=answer is not None,
        prompt_tokens=completion.prompt_tokens or None,
        tokens=completion.tokens or None,
        turns=None if completion.unasked else completion.turns,
        flops=completion.flops or None,
    )


def results(
    predictions: Iterable[Prediction], *, seconds: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Accuracy by split and task, in order of appearance: n, correct, accuracy, low and high (95 %).

    `correct_format` and `complete` are the shares of answers with the mark of an answer, and of those that ended by
    themselves (where all are known), as Ho et al. report them. With sampled answers also their number per question
    (majority_of), the accuracy of their majority, and that of each repetition. With known tokens the sums of what the
    greedy answers read and wrote, and the mean FLOPs of one.

    Args:
        predictions: the graded answers.
        seconds: of devices, for a question of each split; None, or a split without: unknown.
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
        for name in ("correct_format", "complete"):
            known = [getattr(prediction, name) for prediction in group]
            if None not in known:
                row[name] = sum(known) / n
        counts = [(each.prompt_tokens or 0, each.tokens or 0, each.flops or 0.0) for each in group]
        asked, written, flops = map(sum, zip(*counts, strict=True))
        if asked:
            row |= {"prompt_tokens": asked, "completion_tokens": written, "flops": flops / n}
        if seconds and split in seconds:
            row["seconds"] = n * seconds[split]
        if group[0].votes is not None:
            agreed = sum(bool(prediction.majority_correct) for prediction in group)
            row |= {"majority_of": len(group[0].votes), "majority": agreed / n}
            repeated = [prediction.votes_correct for prediction in group if prediction.votes_correct]
            if len(repeated) == n:
                row["repetitions"] = [sum(each) / n for each in zip(*repeated, strict=True)]
        table.append(row)
    return table
