r"""Whether the vocabulary of a base model can write the gold answers: T5's, for one, lacks "{", "}", "<", "\" and "^".

Reads `tokenizer.json` and `config.json` of a local directory, or of the local cache of the model hub; nothing is downloaded.
Imports the `tokenizers` library alone, when it is called.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from engine.grading import grade
from engine.methods import Method, TrainRow
from engine.students.prompt_format import CONTINUED, TRANSLATED, PromptFormat

MOST = 2000
"""Different gold answers of a task that are tried."""

RATIONALE = "So it is."


@dataclass(frozen=True, slots=True)
class BaseFiles:
    """The tokenizer of a base model, from the library `tokenizers`, and the format of its prompts."""

    tokenizer: Any
    prompt_format: PromptFormat


@dataclass(frozen=True, slots=True)
class Unwritten:
    """A gold answer, and what is read from a completion in which the student's vocabulary wrote it."""

    gold: str
    read: str | None


def open_base(base: str) -> BaseFiles | None:
    """The files of a base model; None where they are not on this machine, or have another form.

    Args:
        base: an absolute directory, or a hub id.
    """
    if importlib.util.find_spec("tokenizers") is None:
        return None
    found = [_local(base, name) for name in ("tokenizer.json", "config.json")]
    if None in found:
        return None
    from tokenizers import Tokenizer

    try:
        texts = [path.read_text(encoding="utf-8") for path in found if path is not None]
        config = json.loads(texts[1])
        translates = isinstance(config, dict) and bool(config.get("is_encoder_decoder"))
        return BaseFiles(Tokenizer.from_str(texts[0]), TRANSLATED if translates else CONTINUED)
    except Exception:  # the library raises Exception itself; a training process says more
        return None


def _local(base: str, name: str) -> Path | None:
    if Path(base).is_absolute():
        path = Path(base) / name
    else:
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(base, name)
        path = Path(cached if isinstance(cached, str) else "")
    return path if path.is_file() else None


def unwritten_golds(
    base: BaseFiles, method: Method, golds: Iterable[tuple[str, str]], answer_format: str
) -> tuple[int, list[Unwritten]]:
    """How many different gold answers were tried, and those that the student could not give.

    Each goes through the completion that the method makes of it, the tokenizer there and back, and the method's own reading.

    Args:
        base: of the student.
        method: of the student.
        golds: (gold answer, question); readable ones.
        answer_format: of their task.
    """
    different = dict(islice(dict(golds).items(), MOST))
    found = []
    for gold, question in different.items():
        row = TrainRow(
            sample_id=None,
            question_id=0,
            question=question,
            rationale=RATIONALE if method.reads_samples else None,
            answer=gold,
        )
        written = base.prompt_format.completion(method.target(row))
        ids = base.tokenizer.encode(written, add_special_tokens=False).ids
        read = method.parse(base.tokenizer.decode(ids, skip_special_tokens=True))
        if read == gold.strip():
            continue
        if read is None or not grade(read, gold, answer_format, question=question).correct:
            found.append(Unwritten(gold, read))
    return len(different), found
