"""Measures an untrained base: asks it the dev and test questions by a strategy, as a teacher is asked.

The requests are those of the strategy, turn by turn, in the form of the student: a base with a chat template is asked in
it, another one continues the text. Its answers are read as a teacher's are: cut at the strategy's stop strings, with
reasoning apart. Nothing is trained and nothing exported: the answers and the results are all that a run leaves.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from engine.forms import TokenForm
from engine.grading.verdict import Verdict
from engine.question import Question
from engine.strategies import STRATEGIES, Conversation, Settings, Wording
from engine.students import base_checks, kernels, zero
from engine.students.architecture import architecture_of, is_encoder_decoder
from engine.students.base_model import load_model
from engine.students.checkpoints import replace
from engine.students.device import choose_device, device_name
from engine.students.evaluate import (
    Answer,
    Judge,
    Prediction,
    costs_of,
    prepare_generation,
    results,
    share,
    with_flops,
)
from engine.students.finish import lines
from engine.students.precision import computes_in_bf16
from engine.students.room import Asked, Completion, give_room, positions
from engine.students.run_form import open_form, with_form
from engine.students.spec import EvalRow, Spec
from engine.students.static_batches import write_in_batches
from engine.students.threads import Threads
from engine.students.token_rows import read_rows
from engine.students.tokenizer import leave_prompts_open, load_tokenizer, pad_id
from engine.teachers import messages
from engine.teachers.dialects.reasoning import split_think

if TYPE_CHECKING:
    from engine.students.run import Run

ANSWER_TOKENS = 32
"""The longest answer where a strategy asks for the answer alone, as for teachers."""


def measure(run: Run) -> None:
    """The whole run: the base is opened and asked, and its answers are graded.

    Raises:
        Stopped: it was asked to stop.
        JobFailed: the base cannot be opened, or does not fit its tokenizer.
    """
    base = open_untrained(run)
    run, model = base.run, base.model
    training = run.spec.training
    run.tell(
        "loaded",
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        device=device_name(base.device),
        world_size=run.ranks.world,
        rows=0,
        steps=0,
        resumed_from=None,
    )
    run.tell("phase", phase="evaluating")
    questions = read_rows(run.directory / "questions.jsonl", EvalRow)
    spec = run.spec
    answer = answers_of(run, model, base.tokenizer, base.form, run.make_judge(spec.evaluation.grader))
    predictions = share(answer, questions, spec.evaluation, ranks=run.ranks, seed=training.seed)
    table = results(predictions)
    for row in table:
        run.tell("eval", **row, step=0, epoch=0.0, seed=training.seed)
    if run.ranks.first:
        replace(run.directory / "predictions.jsonl", lines(predictions))
        outcome = {
            "run_id": spec.run_id,
            "student": spec.student,
            "scope": spec.scope,
            "method": spec.method,
            "strategy": spec.strategy,
            "seed": training.seed,
            "step": 0,
            "steps": 0,
            "reason": "complete",
            "results": table,
        }
        replace(run.directory / "evaluation.json", json.dumps(outcome, indent=1).encode())
    run.tell("done", step=0, steps=0, reason="complete")


@dataclass(frozen=True, slots=True)
class UntrainedBase:
    """A base that is ready to be asked. `run`: with its form."""

    run: Run
    model: Any
    tokenizer: Any
    form: TokenForm
    device: torch.device


def open_untrained(run: Run) -> UntrainedBase:
    """Loads the base of a run. All ranks call it together.

    Raises:
        JobFailed: it cannot be opened, or does not fit its tokenizer.
    """
    training = run.spec.training
    hardware = os.environ.get("DS_ACCELERATOR") or ("cuda" if torch.cuda.is_available() else "cpu")
    device = choose_device(hardware, run.ranks.local_rank)
    zero.join_ranks(hardware, world=run.ranks.world)
    bf16 = computes_in_bf16(run, device)
    run.tell("starting", phase="building")
    base = run.spec.base
    model = load_model(base, kernels.attentions(training, device, bf16=bf16))
    tokenizer = load_tokenizer(base)
    encoder_decoder = is_encoder_decoder(model.config)
    if not encoder_decoder:
        leave_prompts_open(tokenizer)
    run = with_form(run, template=bool(tokenizer.chat_template), encoder_decoder=encoder_decoder)
    form = open_form(run, tokenizer, encoder_decoder=encoder_decoder)
    own = (
        model.generation_config.eos_token_id
    )  # a chat model may end a turn with a token that its tokenizer does not name
    prepare_generation(model, tokenizer, form)
    ends = (*form.ends, *(own if isinstance(own, list) else [] if own is None else [own]))
    model.generation_config.eos_token_id = list(dict.fromkeys(ends)) or None
    model.to(device=device, dtype=torch.bfloat16 if bf16 else None).eval()
    return UntrainedBase(run, model, tokenizer, form, device)


def answers_of(run: Run, model: Any, tokenizer: Any, form: TokenForm, judge: Judge) -> Answer:
    """Answers questions by the strategy of a run."""
    spec, config = run.spec, run.spec.evaluation
    architecture, limit = architecture_of(model), positions(model)
    costs = costs_of(model, architecture)
    threads = Threads(run.directory, weights=sum(parameter.numel() for parameter in model.parameters()))

    def stopping() -> bool:
        threads.follow()
        return run.stop.set

    def decode(ids: Sequence[int]) -> str:
        text: str = tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def asked(request: messages.Request) -> Asked:
        return give_room(prompt_of(form, request), architecture, limit=limit, most=request.max_tokens)

    def answer(rows: Sequence[EvalRow], temperature: float | None) -> list[Prediction]:
        talks = [conversation(spec, row) for row in rows]
        unasked: dict[int, str] = {}
        said: list[list[Completion]] = [[] for _ in rows]
        while True:
            waiting = {
                index: asked(talk.request)
                for index, talk in enumerate(talks)
                if talk.request is not None and index not in unasked
            }
            if not waiting:
                break
            base_checks.check_ids(model, spec.base, waiting.values())
            written = write_in_batches(
                model,
                pad_id(tokenizer),
                decode,
                list(waiting.values()),
                batch_size=config.batch_size,
                temperature=temperature,
                stopping=stopping,
                note=run.note,
            )
            for index, bare in zip(waiting, written, strict=True):
                each = with_flops(bare, architecture, costs)
                said[index].append(each)
                if each.unasked:
                    after = f"{each.unasked} (with its rationale)" if talks[index].turn else each.unasked
                    unasked[index] = after
                else:
                    talks[index].answer(_said(each.text, talks[index].request))
        return [
            _graded(row, talk, unasked.get(index, ""), run, judge).model_copy(update=_spent(said[index]))
            for index, (row, talk) in enumerate(zip(rows, talks, strict=True))
        ]

    return answer


def conversation(spec: Spec, row: EvalRow) -> Conversation:
    """The conversation about a question, by the strategy of a run."""
    most = spec.evaluation.max_new_tokens
    settings = Settings(
        answer_format=row.answer_format,
        max_tokens=most,
        answer_max_tokens=min(ANSWER_TOKENS, most),
        wording=Wording.restored(spec.wordings.get(row.task, {})),
    )
    question = Question(key=str(row.question_id), text=row.question, answer="", split=row.split)
    return Conversation(STRATEGIES[spec.strategy or ""], question, settings)


def prompt_of(form: TokenForm, request: messages.Request) -> list[int]:
    """The tokens of a request in the form of the student."""
    talk = [{"role": each.role, "content": each.content} for each in request.messages]
    [ids] = form.conversation_ids([talk])
    return ids


def _said(text: str, request: messages.Request | None) -> messages.Completion:
    """What a server would answer: up to the first stop string, with a leading block of reasoning apart."""
    stops = request.stop if request else ()
    text, reasoning = split_think(
        text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)]
    )
    usage = messages.Usage(prompt_tokens=0, completion_tokens=0)
    return messages.Completion(text=text, reasoning=reasoning, usage=usage)


def _spent(said: Sequence[Completion]) -> dict[str, float]:
    """What the turns of an answer read, wrote and computed."""
    names = ("prompt_tokens", "tokens", "flops")
    return {name: sum(getattr(each, name) for each in said) for name in names if said} | {"turns": len(said)}


def _graded(row: EvalRow, talk: Conversation, unasked: str, run: Run, judge: Judge) -> Prediction:
    finished = talk.finished
    text = "" if finished is None else "\n".join(filter(None, (finished.rationale, finished.answer)))
    answer = None if finished is None else run.method.parse(finished.answer)
    if answer is None:
        reason = unasked or run.method.no_answer
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
        correct_format=answer is not None,
    )
