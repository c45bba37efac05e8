"""Opens the bases of students without loading their weights: `python -m engine.students.open_bases`.

Reads a JSON list of `BaseQuestion` on its input and writes one of `BaseReport` on its output. Each model is built on torch's
device "meta", without memory, and the headers of its weight files are put through transformers' own loading, so names, shapes
and conversions are judged as they are when a student is trained. Nothing is downloaded: `coterie check` sets HF_HUB_OFFLINE.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from engine.errors import JobFailed
from engine.forms import TokenForm, default_settings, form_of
from engine.methods import METHODS
from engine.students.base_names import is_path, place_of, unusable
from engine.students.base_report import BaseQuestion, BaseReport, UnwrittenGolds
from engine.students.memory_needs import Shape
from engine.students.vocabulary import unwritten_golds
from engine.students.weight_files import NotHere, Shapes, read_shapes

SHOWN = 3
"""Names of weights in a message."""
QUESTIONS, REPORTS = TypeAdapter(list[BaseQuestion]), TypeAdapter(list[BaseReport])


@dataclass(frozen=True, slots=True)
class OpenedBase:
    """A base without its weights."""

    config: Any
    tokenizer: Any
    """As it is in training: it leaves prompts open."""
    notes: tuple[str, ...]

    @property
    def encoder_decoder(self) -> bool:
        """Whether it is one."""
        from engine.students.architecture import is_encoder_decoder

        return is_encoder_decoder(self.config)

    def empty_model(self) -> Any:
        """The model on the device "meta"."""
        import torch

        from engine.students.architecture import auto_class

        with torch.device("meta"):
            return auto_class(self.config).from_config(self.config)


def answer(question: BaseQuestion) -> BaseReport:
    """What is known of the base of a student."""
    from engine.students.base_model import ERRORS, why

    report = BaseReport(student=question.student.name)
    place = place_of(question.base)
    if place is None:
        return report.model_copy(
            update={"absent": f"{question.base} is not on this machine: the first run downloads it"}
        )
    cached = not is_path(question.base)
    try:
        return _report(report, question, _opened(place, cached), str(place))
    except NotHere as error:
        return report.model_copy(
            update={"absent": f"{question.base}: {error}: the first run downloads what is missing"}
        )
    except JobFailed as error:
        return report.model_copy(update={"refused": error.message})
    except ERRORS as error:
        return report.model_copy(update={"refused": why(str(place), error)})


@cache
def _opened(place: Path, cached: bool) -> OpenedBase:
    """Opens a base once for all its students."""
    from transformers import AutoConfig

    from engine.students.architecture import architecture_of, is_encoder_decoder
    from engine.students.base_checks import expert_note
    from engine.students.base_names import files_of
    from engine.students.tokenizer import leave_prompts_open, load_tokenizer

    if reason := unusable(place):
        raise JobFailed(f"{place}: {reason}")
    folder, file = files_of(str(place))
    held, shapes = (_held(place), {}) if file else (0, read_shapes(place, cached=cached))
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, **file)
    if cached and not any((place / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        raise NotHere("its tokenizer is not in the hub's local cache")
    tokenizer = load_tokenizer(str(place))
    notes = []
    if not is_encoder_decoder(config):
        appended, still = leave_prompts_open(tokenizer)
        if still:
            notes.append(f"its tokenizer appends {appended} to every text: prompts are asked without it")
    opened = OpenedBase(config, tokenizer, ())
    model = opened.empty_model()
    name, needed = type(model).__name__, sum(each.numel() for each in model.parameters())
    if not file:
        notes += _fit(place, model, shapes)
    elif held < needed:
        notes.append(
            f"the file has {held:,} of the {needed:,} weights of {name}: the rest would start at random"
        )
    architecture_of(model)
    known = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > known:
        notes.append(
            f"its tokenizer has {len(tokenizer):,} tokens and the model {known:,} embeddings: a question that needs one of the"
            " others is refused"
        )
    return OpenedBase(config, tokenizer, (*notes, *filter(None, [expert_note(model)])))


def _fit(place: Path, model: Any, shapes: Shapes) -> list[str]:
    """Notes on weights that are not in the files.

    Raises:
        JobFailed: a weight has another shape than the configuration says, or the files are of another model.
    """
    import torch

    state = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    _, found = type(model).from_pretrained(
        None,
        config=model.config,
        state_dict=state,
        output_loading_info=True,
        device_map={"": "meta"},
        ignore_mismatched_sizes=True,
    )
    if wrong := sorted(found["mismatched_keys"]):
        name, stored, expected = wrong[0]
        raise JobFailed(
            f"{place}: {len(wrong):,} weights do not have the shape that config.json says, first {name}: {tuple(stored)} in the"
            f" file, {tuple(expected)} expected. Weights and config.json are of different models"
        )
    missing = sorted(found["missing_keys"])
    if not missing:
        return []
    named = ", ".join(missing[:SHOWN])
    total = len(model.state_dict())
    if 2 * len(missing) > total:
        raise JobFailed(
            f"{place}: {len(missing):,} of {total:,} weights of {type(model).__name__} are not in its files, such as {named}."
            " Weights and config.json are of different models"
        )
    return [f"{len(missing):,} weights are not in its files and would start at random: {named}"]


def _held(place: Path) -> int:
    """The number of weights in a GGUF file, by its header.

    Raises:
        JobFailed: the file is damaged, or shorter than its header says.
    """
    import gguf

    try:
        return sum(int(each.n_elements) for each in gguf.GGUFReader(place).tensors)
    except Exception as error:  # the library passes on what its arrays raise
        raise JobFailed(
            f"{place}: cut short or damaged: {str(error).splitlines()[0]}. Copy or download it again"
        ) from error


def _report(report: BaseReport, question: BaseQuestion, base: OpenedBase, place: str) -> BaseReport:
    """The report on a student whose base is open.

    Raises:
        JobFailed: the base does not have what the student needs.
    """
    import torch

    from engine.config.adapters import ADAPTERS
    from engine.students.adapters import adapt
    from engine.students.base_checks import end_note
    from engine.students.precision import expects_bf16
    from engine.students.room import config_positions
    from engine.students.tokenizer import check_markers

    student, tokenizer, notes = question.student, base.tokenizer, list(base.notes)
    template = bool(tokenizer.chat_template)
    settings = student.form or default_settings(template=template, encoder_decoder=base.encoder_decoder)
    try:
        form = form_of(settings).open(
            settings,
            METHODS[student.method],
            tokenizer,
            encoder_decoder=base.encoder_decoder,
            note=notes.append,
        )
    except JobFailed as error:
        raise JobFailed(f"students.{student.name}.form: {error.message}") from None
    if METHODS[student.method].trains:
        check_markers(tokenizer, form.markers)
        notes += filter(None, [end_note(tokenizer, form, place)])
    model = base.empty_model()
    name, weights = type(model).__name__, sum(each.numel() for each in model.parameters())
    adapter = ADAPTERS[student.training.adapter]
    adapted = adapt(model, student.training)
    context = config_positions(base.config)
    if context:
        context -= adapter.positions(student.training)
    if context and student.training.max_length > context and METHODS[student.method].trains:
        notes.append(
            f"training.max_length = {student.training.max_length:,} is more than its context: rows longer than {context:,} tokens are dropped"
        )
    text = base.config.get_text_config()
    sides = ("num_decoder_layers", "decoder_layers") if base.encoder_decoder else ()
    layers = text.num_hidden_layers + next((n for side in sides if (n := getattr(text, side, 0))), 0)
    trained = sum(each.numel() for each in adapted.model.parameters() if each.requires_grad)
    device = torch.device(question.device)
    return report.model_copy(
        update={
            "architecture": name,
            "shape": Shape(
                weights=weights,
                trained=trained,
                layers=layers,
                width=text.hidden_size,
                vocabulary=model.get_input_embeddings().num_embeddings,
            ),
            "tokens": len(tokenizer),
            "ends": tuple(tokenizer.convert_ids_to_tokens(list(form.ends))),
            "form": settings.type,
            "template": template,
            "context": context,
            "bf16": expects_bf16(student.training, question.base, device),
            "device_memory": torch.cuda.get_device_properties(0).total_memory
            if device.type == "cuda"
            else None,
            "unwritten": tuple(_unwritten(question, form)),
            "notes": tuple(notes),
        }
    )


def _unwritten(question: BaseQuestion, form: TokenForm) -> Iterator[UnwrittenGolds]:
    """The gold answers that the vocabulary of a student cannot write, by task."""
    method = METHODS[question.student.method]
    for task in question.golds:
        tried, lost = unwritten_golds(form, method, task.golds, task.answer_format)
        if lost:
            pairs = tuple((each.gold, each.read) for each in lost)
            yield UnwrittenGolds(task=task.task, tried=tried, lost=pairs)


def main() -> int:
    """Answers the questions on standard input."""
    output = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer
    questions = QUESTIONS.validate_json(sys.stdin.buffer.read())
    import gguf
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # Reading a vocabulary from GGUF takes seconds, and transformers reads it for configuration and tokenizer.
    setattr(gguf, "GGUFReader", cache(gguf.GGUFReader))  # noqa: B010
    reports = [answer(question) for question in questions]
    with os.fdopen(output, "wb") as file:
        file.write(REPORTS.dump_json(reports))
    return 0


if __name__ == "__main__":
    sys.exit(main())
