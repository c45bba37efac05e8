r"""Whether the vocabulary of a base model can write the gold answers: T5's, for one, lacks "{", "}", "<", "\" and "^".

And what the files of a base say of its form, without opening it: those of a local directory, or of the local cache of the
model hub; nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from engine.config.students import StudentConfig
from engine.forms import Outline, TokenForm, default_settings, form_of
from engine.forms.base import BaseFacts
from engine.grading import grade
from engine.methods import METHODS, Method, TrainRow

MOST = 2000
"""Different gold answers of a task that are tried."""

RATIONALE = "So it is."


@dataclass(frozen=True, slots=True)
class Unwritten:
    """A gold answer, and what is read from a completion in which the student's vocabulary wrote it."""

    gold: str
    read: str | None


def facts_of(base: str) -> BaseFacts | None:
    """What a form needs to know of a base that is loaded; None where its files are not on this machine, or have another form.

    Args:
        base: an absolute directory, or a hub id.
    """
    path = _local(base, "config.json")
    if path is None:
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        translates = isinstance(config, dict) and bool(config.get("is_encoder_decoder"))
        template, specials = chat_template(base)
    except (OSError, ValueError, AttributeError, LookupError, TypeError):  # a training process says more
        return None
    return BaseFacts(encoder_decoder=translates, template=template, specials=specials)


def _local(base: str, name: str) -> Path | None:
    if Path(base).is_absolute():
        path = Path(base) / name
    elif importlib.util.find_spec("huggingface_hub") is None:
        return None
    else:
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(base, name)
        path = Path(cached if isinstance(cached, str) else "")
    return path if path.is_file() else None


def chat_template(base: str) -> tuple[str | None, dict[str, str]]:
    """The chat template in the files of a base, None where they have none, and the special tokens it may name."""
    found = {name: _local(base, name) for name in ("tokenizer_config.json", "chat_template.jinja")}
    settings, file = found["tokenizer_config.json"], found["chat_template.jinja"]
    config = json.loads(settings.read_text(encoding="utf-8")) if settings else {}
    template = config.get("chat_template")
    if isinstance(template, list):
        template = {each["name"]: each["template"] for each in template}.get("default")
    if file:
        template = file.read_text(encoding="utf-8")
    tokens = {name: value for name, value in config.items() if name.endswith("_token")}
    texts = {name: each.get("content") if isinstance(each, dict) else each for name, each in tokens.items()}
    return template, {name: text for name, text in texts.items() if isinstance(text, str)}


def outline_for(student: StudentConfig, facts: BaseFacts) -> Outline:
    """The form of a student on a base, without a tokenizer.

    Raises:
        JobFailed: the base does not have what the form needs.
    """
    form = student.form or default_settings(
        template=bool(facts.template), encoder_decoder=facts.encoder_decoder
    )
    return form_of(form).outline(form, METHODS[student.method], facts)


def unwritten_golds(
    form: TokenForm, method: Method, golds: Iterable[tuple[str, str]], answer_format: str
) -> tuple[int, list[Unwritten]]:
    """How many different gold answers were tried, and those that the student could not give.

    Each goes through the tokens of the completion that is trained, and the form's own reading.

    Args:
        form: of the student, with its tokenizer.
        method: of the student.
        golds: (gold answer, question); readable ones.
        answer_format: of their task.
    """
    different = dict(islice(dict(golds).items(), MOST))
    rationale = RATIONALE if method.reads_samples or method.reads_rationales else None
    rows = [
        TrainRow(sample_id=None, question_id=0, question=question, rationale=rationale, answer=gold)
        for gold, question in different.items()
    ]
    found = []
    for row, (_, ids) in zip(rows, form.row_ids(rows), strict=True):
        read = form.parse(form.decode(ids))
        if read == row.answer.strip():
            continue
        if read is None or not grade(read, row.answer, answer_format, question=row.question).correct:
            found.append(Unwritten(row.answer, read))
    return len(different), found
