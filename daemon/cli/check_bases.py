"""The part of `coterie check` that opens the bases of students, in a process that may import torch and transformers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from daemon.catalog.sync import Input
from daemon.training.devices import Device
from daemon.training.manifest import base_of
from engine.config import Config, StudentConfig
from engine.config.ancestors import chain_of, first_of, with_its_form
from engine.config.lineage import source_name
from engine.config.named import expand, teachers_of
from engine.errors import JobFailed
from engine.methods import METHODS
from engine.students.base_report import BaseQuestion, BaseReport, TaskGolds
from engine.students.launch import rank_environment
from engine.students.memory_needs import Shape, estimate, machine_memory
from engine.students.objectives import OBJECTIVES
from engine.students.operations.base import tokenizer_digest
from engine.students.sizes import size_of
from engine.students.vocabulary import MOST

QUESTIONS, REPORTS = TypeAdapter(list[BaseQuestion]), TypeAdapter(list[BaseReport])
Say = Callable[[str], None]


def check_bases(config: Config, given: Input, devices: list[Device], say: Say) -> frozenset[str]:
    """Says what the base of each student is, which gold answers it cannot write, and what its training needs.

    Returns:
        The names of students whose base is not on this machine.

    Raises:
        JobFailed: a base is unknown, damaged, or does not have what its student needs.
    """
    device = devices[0].kind if devices else "cpu"
    roots = {student.name: chain_of(student, config)[-1].base for student in config.students}
    questions = [
        BaseQuestion(
            student=with_its_form(student, config),
            base=base_of(config, roots[student.name]),
            device=device,
            golds=tuple(_golds(student, config, given)),
        )
        for student in config.students
        if size_of(roots[student.name]) is None
    ]
    reports = {report.student: report for report in _opened(questions, devices)} if questions else {}
    for student in config.students:
        source = source_name(student.base)
        if size := size_of(roots[student.name]):
            side = "encoder-decoder (T5)" if size.encoder_decoder else "decoder (Llama)"
            say(
                f"student {student.name}: the student {source}, with its tokenizer: a {side} of up to {size.weights:,} weights"
                if source
                else f"student {student.name}: {student.base}, an untrained {side} of up to {size.weights:,} weights; its tokenizer"
                " is made from its rows"
            )
            shape = Shape(
                weights=size.weights,
                trained=size.weights,
                layers=size.layers * (2 if size.encoder_decoder else 1),
                width=size.width,
                vocabulary=size.vocabulary,
            )
            _memory(student, shape, None if device == "cuda" else machine_memory(), say, device=device)
            check_distributions(student, config, say)
            check_selection(student, config, say)
            continue
        report = reports[student.name]
        if report.refused:
            raise JobFailed(_about(student, report.refused))
        if report.absent:
            say(f"student {student.name}: {report.absent}; its base was not checked")
            continue
        if source:
            say(f"student {student.name}: starts from the student {source}, which is made from this base:")
        _base(student, report, say, device=device)
        check_distributions(student, config, say)
        check_selection(student, config, say)
    return frozenset(name for name, report in reports.items() if report.absent)


def check_selection(student: StudentConfig, config: Config, say: Say) -> None:
    """Says where a student is to choose between teachers and reads one."""
    if student.training.select == "none":
        return
    read = expand(student.plans, [each.name for each in config.plans])
    plans = [plan for plan in config.plans if plan.split == "train" and plan.name in read]
    asked = dict.fromkeys(name for plan in plans for name in teachers_of(plan, config.teachers))
    heard = [name for name in asked if name in expand(student.teachers, list(config.teachers))]
    if len(heard) == 1:
        say(
            f'  note: training.select = "{student.training.select}" chooses between teachers, and {student.name} reads {heard[0]}'
            " alone: rows are left out, and none is replaced"
        )


def check_distributions(student: StudentConfig, config: Config, say: Say) -> None:
    """Says whether a student can learn the distributions of its teachers, or what stands against those that it learns."""
    plans = [
        plan
        for plan in config.plans
        if plan.logprobs and plan.split == "train"
        and plan.name in expand(student.plans, [each.name for each in config.plans])
    ]  # fmt: skip
    asked = {name: plan for plan in plans for name in teachers_of(plan, config.teachers)}
    teachers = {
        name: plan for name, plan in asked.items() if name in expand(student.teachers, list(config.teachers))
    }
    if OBJECTIVES[student.training.objective].reads_distributions:
        for name in teachers:
            if config.teachers[name].builtin:
                say(
                    f"warning: student {student.name} learns distributions, and those of the built-in teacher {name} are made up:"
                    " it would learn noise"
                )
            elif not _one_tokenizer(name, student, config):
                own = config.teachers[name].student
                has = f"the student {own} has" if own else f"{config.teachers[name].model} may have"
                say(
                    f"  note: it learns the distributions of {name} where tokens cover the same characters, and {has} another tokenizer"
                    f" than {first_of(student.name, config).base}: then these are few, and tokens alone teach as well"
                    + (
                        f'. With base = "student:{first_of(own, config).name}" it has that one'
                        if own and size_of(student.base)
                        else ""
                    )
                )
        return
    method = METHODS[student.method]
    if not method.trains or not method.reads_samples or method.roles:
        return
    for name, plan in teachers.items():
        if not config.teachers[name].builtin and _one_tokenizer(name, student, config):
            say(
                f"  note: plan {plan.name} asks {name} for log-probabilities, and it has the tokenizer of this student: with"
                ' training.objective = "distribution" the student learns them too'
            )


def _adapter(name: str, shape: Shape) -> str:
    """What is trained; the number of weights where it is known: that of a base that is still to be made is not."""
    return name if shape.trained == shape.weights else f"{name} of {shape.trained:,} weights"


def _one_tokenizer(teacher: str, student: StudentConfig, config: Config) -> bool:
    """Whether a teacher and a student are known to have one tokenizer.

    Both come from one student, or from one base; or the directories of their bases have the same tokenizer.
    """
    asked, root = config.teachers[teacher], first_of(student.name, config)
    first = first_of(asked.student, config) if asked.student else None
    if first is not None and first.name == root.name:
        return True
    if size_of(root.base) or (first is not None and size_of(first.base)):  # made from the rows of a student
        return False
    model, base = (
        base_of(config, first.base) if first is not None else asked.model,
        base_of(config, root.base),
    )
    if model == base:
        return True
    paths = [Path(each).expanduser() for each in (model, base)]
    if not all((path / "tokenizer.json").is_file() for path in paths):
        return False
    one, other = map(tokenizer_digest, paths)
    return one == other


def _golds(student: StudentConfig, config: Config, given: Input) -> Iterator[TaskGolds]:
    """What a student is to write, by task; nothing for one that is not trained."""
    for name in expand(student.tasks, list(config.tasks)) if METHODS[student.method].trains else ():
        different = {each.answer: each.text for each in given.tasks[name].questions or ()}
        golds = tuple(islice(different.items(), MOST))
        yield TaskGolds(task=name, answer_format=config.tasks[name].answer, golds=golds)


def _about(student: StudentConfig, reason: str) -> str:
    prefix = f"students.{student.name}."
    return reason if reason.startswith(prefix) else f"{prefix}base: {reason}"


def _base(student: StudentConfig, report: BaseReport, say: Say, *, device: str) -> None:
    assert report.shape is not None, "a base that was opened has a shape"
    ends = " or ".join(report.ends)
    template = "with a chat template" if report.template else "no chat template"
    context = f"context {report.context:,} tokens" if report.context else "context without a limit"
    say(
        f"student {student.name}: {report.architecture}, {report.shape.weights:,} weights, {context}; tokenizer of"
        f" {report.tokens:,} tokens, {template}, {f'an answer ends with {ends}' if ends else 'no end token'};"
        f" form {report.form}"
    )
    available = report.device_memory or machine_memory()
    _memory(student, report.shape, available, say, device=device, bf16=report.bf16)
    for note in report.notes:
        say(f"  note: {note}")
    for each in report.unwritten:
        shown = "; ".join(f"{gold[:60]!r} becomes {(read or '')[:60]!r}" for gold, read in each.lost[:3])
        say(
            f"warning: student {student.name} cannot write {len(each.lost):,} of {each.tried:,} different gold answers of task"
            f" {each.task}: {shown}. Its vocabulary lacks their characters: choose another base"
        )


def _memory(
    student: StudentConfig,
    shape: Shape,
    available: int | None,
    say: Say,
    *,
    device: str,
    bf16: bool = False,
) -> None:
    if not METHODS[student.method].trains:
        return
    training = student.training
    need = estimate(shape, training, bf16=bf16, on_gpu=device == "cuda")
    how = (
        "bf16" if bf16 else "fp32",
        "all weights" if training.adapter == "full" else _adapter(training.adapter, shape),
        f"ZeRO {training.zero_stage}",
        "1 rank" if training.devices == 1 else f"{training.devices} ranks",
    )
    here = "the GPU" if device == "cuda" else "this machine"
    of = f" ({here} has {size_text(available)})" if available else ""
    say(
        f"  training needs about {size_text(need.total)} of memory{of}: {', '.join(how)}; an estimate, see --measure"
    )
    if available and need.total > available:
        say(
            f"warning: student {student.name} may not fit into memory: try training.lora_rank, a smaller batch_tokens,"
            " or activation_checkpointing"
        )


def size_text(number: float) -> str:
    """Bytes in gigabytes or megabytes."""
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:,.0f} MB"


def _opened(questions: list[BaseQuestion], devices: list[Device]) -> list[BaseReport]:
    """The reports of a process with the environment of a training process, without access to the hub.

    Raises:
        JobFailed: the process ended without an answer.
    """
    kind = devices[0].kind if devices else "cpu"
    threads = sum(device.threads for device in devices) or 1
    done = subprocess.run(
        [sys.executable, "-P", "-m", "engine.students.open_bases"],
        input=QUESTIONS.dump_json(questions),
        capture_output=True,
        env=rank_environment(os.environ, device=kind, threads=threads) | {"HF_HUB_OFFLINE": "1"},
        check=False,
    )
    try:
        return REPORTS.validate_json(done.stdout)
    except ValidationError:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise JobFailed(
            f"the process that opens the bases of students ended with code {done.returncode}: {last[:300]}"
        ) from None
