"""The files that describe a student run: `spec.json` and the rows beside it. Imports nothing heavy.

runs/<id>/  owner.json       whose directory it is: an Owner, written first
            spec.json        a Spec
            manifest.jsonl   the training rows, frozen (one TrainRow per line)
            targets.bin      distributions of teachers, if the student learns from some (see `targets`)
            questions.jsonl  dev and test questions (one EvalRow per line)
            progress.jsonl   events, written by rank 0 (see `progress_file`)
            log.txt          stdout and stderr of the ranks
            checkpoints/<step>/…, COMPLETE
            work/<name>/…, COMPLETE   intermediate tensors of an operation (see `work`)
            student/         safetensors, tokenizer, model card
            predictions.jsonl, evaluation.json

The digest of a manifest identifies what a student has read, so bytes of existing manifests never change: a field that is
added to a row has a default and is left out of the line while it has that default. `manifest_version` goes up when an
existing field changes its meaning.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.config.students import ASKED_AGAIN, EvaluationConfig, TrainingConfig
from engine.config.tasks import AnswerFormat
from engine.forms import FIRST, FormConfig
from engine.methods import Guidance, MethodName, TrainRow
from state.enums import TRAIN

MANIFEST_VERSION = 1
"""The newest version of `manifest.jsonl` and `questions.jsonl` that this program reads, and the one it writes."""


class EvalRow(BaseModel):
    """A question to answer: a line of `questions.jsonl`. `task` names its task, since a joint run has several."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question_id: int
    task: str
    split: Literal["dev", "test"]
    question: str
    gold: str
    answer_format: AnswerFormat


OWNER = "owner.json"


class Owner(BaseModel):
    """The run that a directory belongs to. Databases number their runs alike, so its number does not tell."""

    model_config = ConfigDict(frozen=True)

    database: str
    """The identity of the database that the run is in."""
    run_id: int
    manifest_digest: str
    settings: str
    """A digest of what decides the run besides its rows."""

    def to_json(self) -> bytes:
        """The text of `owner.json`."""
        return (self.model_dump_json(indent=1) + "\n").encode()


UNREADABLE = Owner(database="", run_id=0, manifest_digest="", settings="")


def read_owner(directory: Path) -> Owner | None:
    """The owner of a run directory; None where it has none, as those of older versions."""
    try:
        return Owner.model_validate_json((directory / OWNER).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError):
        return UNREADABLE


class SourceStudent(BaseModel):
    """An exported student that a run makes its own from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: int
    student: str
    scope: str
    role: str
    """Its part in the operation."""
    directory: str
    """An absolute path, of its directory `student`."""
    rows: str
    """An absolute path, of the manifest of the rows that it learned from; of a derived one it is empty."""
    inherited: tuple[str, ...] = ()
    """Of a derived one: the manifests of the students that it was made from."""
    method: MethodName
    form: FormConfig | None = None
    base: str
    """What the first of its ancestors started from."""
    ancestors: tuple[int, ...] = ()
    """The runs that it comes from, near ones first."""
    part: str = ""
    guidance: Guidance = "none"

    @property
    def words(self) -> str:
        """What messages call it."""
        return f"run {self.run_id} ({self.student} on {self.scope})"

    @property
    def manifests(self) -> tuple[Path, ...]:
        """The files with the rows that its weights have learned."""
        return tuple(map(Path, (self.rows,) if self.rows else self.inherited))


class Spec(BaseModel):
    """Everything that decides a run, except the rows."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    manifest_version: int = MANIFEST_VERSION
    run_id: int
    student: str
    scope: str
    """The name of the task, or "joint"."""
    trigger: str
    method: MethodName
    base: str
    """`builtin:NAME`, an absolute path of a directory, or a hub id."""
    form: FormConfig | None = FIRST
    """None: the default of the base. The training process writes the one that it is, before it trains."""
    training: TrainingConfig
    evaluation: EvaluationConfig
    manifest_digest: str
    splits: int = Field(default=1, gt=0, alias="pieces")
    """Each micro-batch is computed in this many splits: 2, 4, … after it did not fit into memory."""
    started_from: int | None = None
    """The run whose student is `base`."""
    source: str | None = None
    """The name of that student, with `base = "student:NAME"`; None with `start_from = "previous"`."""
    epochs_before: int = Field(default=0, ge=0)
    """Epochs that the student of `started_from` has begun, over all runs that led to it: the data order goes on after them."""
    part: str = ""
    """The part of its method that the student is; empty: all of it."""
    guidance: Guidance = "none"
    """What the student writes before its first turn."""
    strategy: str | None = None
    """How an untrained base is asked; None for a student that is trained."""
    wordings: dict[str, dict[str, Any]] = {}
    """The worked examples of that strategy, by task, as `Wording.stored`."""
    kind: str = TRAIN
    """`train`, or the operation that makes the student from `sources`."""
    operation: dict[str, Any] = {}
    """The settings of the operation."""
    sources: tuple[SourceStudent, ...] = ()
    formats: tuple[str, ...] = ()
    """The formats of its rows, of a mixture; test questions are asked in each."""
    shots: int = 4
    """Worked examples in formats that have some."""
    targets_digest: str = ""
    """The SHA-256 of `targets.bin`, of a student that learns distributions."""
    teachers: dict[str, int] = {}
    """Who wrote the rationales, as "name (model)", with the number of rows."""

    @property
    def asked_with(self) -> dict[str, Any]:
        """The settings that a finished student can be evaluated again with."""
        return {name: getattr(self.evaluation, name) for name in ASKED_AGAIN}

    def to_json(self) -> str:
        """The text of `spec.json`."""
        return self.model_dump_json(indent=2, by_alias=True) + "\n"


def write_rows(path: Path, rows: Sequence[TrainRow] | Sequence[EvalRow]) -> str:
    """Writes one JSON object per line (UTF-8, keys in order) and returns the digest of the bytes."""
    data = _bytes(rows)
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def digest_of(rows: Sequence[TrainRow] | Sequence[EvalRow]) -> str:
    """The digest that `write_rows` returns."""
    return hashlib.sha256(_bytes(rows)).hexdigest()


def _bytes(rows: Sequence[TrainRow] | Sequence[EvalRow]) -> bytes:
    text = "".join(
        json.dumps(row.model_dump(exclude_defaults=True), ensure_ascii=False) + "\n" for row in rows
    )
    return text.encode("utf-8", "surrogatepass")
