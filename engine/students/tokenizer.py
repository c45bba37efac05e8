"""The tokenizer: that of the base model, or for a built-in student one that is made from the training rows.

The latter is a BPE of a few hundred word pieces over the characters that occur (a 256-byte alphabet would take half of
nano's vocabulary), with single digits. Rank 0 makes it once and keeps it in the run directory, so every rank and every
resume reads the same one. Unknown characters become `<unk>`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine.errors import JobFailed
from engine.forms import Outline
from engine.methods import TrainRow
from engine.students.base_names import files_of
from engine.students.sizes import PIECES

VOCABULARY = 500


def make_tokenizer(texts: Iterable[str], vocabulary: int = VOCABULARY) -> Any:
    """A `PreTrainedTokenizerFast` trained on texts, whose order does not matter."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=["<pad>", "<end>", "<unk>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(texts), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<end>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def row_texts(rows: Iterable[TrainRow], outline: Outline) -> set[str]:
    """The texts that a tokenizer is made from."""
    return {text for row in rows for text in (outline.asked(row.question), outline.written(row))}


def keep_tokenizer(
    directory: Path, rows: Iterable[TrainRow], outline: Outline, vocabulary: int = VOCABULARY
) -> None:
    """Makes the tokenizer of a run and saves it in `directory`, if that does not exist."""
    if directory.exists():
        return
    partial = directory.with_name(f"{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    make_tokenizer(row_texts(rows, outline), vocabulary).save_pretrained(partial)
    os.rename(partial, directory)


def load_tokenizer(source: str) -> Any:
    """The tokenizer of a directory, hub id or GGUF file. Code that comes with a model is never run.

    Raises:
        JobFailed: it does not exist or cannot be read.
    """
    from transformers import AutoTokenizer

    try:
        folder, file = files_of(source)
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **file)
    except Exception as error:  # the library passes on the errors of its parsers
        reason = next(
            (line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__
        )
        raise JobFailed(f"the tokenizer of {source} cannot be loaded: {reason}") from error


def leave_prompts_open(tokenizer: Any) -> tuple[str, bool]:
    """Makes a tokenizer that closes every text stop doing so: a decoder continues its prompt.

    The export has the tokenizer as it is afterwards, so a server does not close prompts either.

    Returns:
        What it appended, or nothing, and whether it still does.
    """
    before = _appended(tokenizer)
    if not before:
        return "", False
    if getattr(tokenizer, "add_eos_token", False):
        tokenizer.add_eos_token = False
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if _appended(tokenizer) and backend is not None:
        from tokenizers import Tokenizer

        description = json.loads(backend.to_str())
        outer = description["post_processor"] or {}
        for each in [outer, *outer.get("processors", ())]:
            if each["type"] == "TemplateProcessing":
                for name in ("single", "pair"):
                    while "SpecialToken" in each[name][-1]:
                        each[name].pop()
        backend.post_processor = Tokenizer.from_str(json.dumps(description)).post_processor
    return "".join(tokenizer.convert_ids_to_tokens(before)), bool(_appended(tokenizer))


def _appended(tokenizer: Any) -> list[int]:
    """The tokens that follow any text."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    closed = tokenizer("a")["input_ids"]
    after = 0
    while after < len(closed) and plain and closed[len(closed) - 1 - after] != plain[-1]:
        after += 1
    return list(closed[len(closed) - after :])


def check_markers(tokenizer: Any, markers: Iterable[str]) -> None:
    """Checks that the student can write the texts by which its answer is found.

    Raises:
        JobFailed: the vocabulary lacks the characters of a marker, or decoding puts spaces between them.
    """
    for marker in markers:
        text = tokenizer.decode(tokenizer(f" {marker} ", add_special_tokens=False)["input_ids"])
        if marker not in text:
            raise JobFailed(
                f"the tokenizer of the base model turns {marker!r} into {text.strip()!r}, so the answer in a"
                " completion could not be found: choose another students.base"
            )


def token_texts(tokenizer: Any) -> list[str]:
    """The text of each token within a text, by id."""
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    texts: list[str] = tokenizer.batch_decode(
        [[each] for each in range(len(tokenizer))], clean_up_tokenization_spaces=False
    )
    # SentencePiece leaves out the space of a text's first token.
    return [
        f" {text}" if (piece or "").startswith("\u2581") and not text.startswith(" ") else text
        for piece, text in zip(pieces, texts, strict=True)
    ]


def pad_id(tokenizer: Any) -> int:
    """The id that fills a batch. Any id works, since padding is masked or never attended to."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    return 0
