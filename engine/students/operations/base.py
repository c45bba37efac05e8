"""What an operation is, and which students go together in it.

Everything that differs between operations is a field or function of `Operation`. Imports nothing heavy: the configuration is
built on it.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from engine.config.derived import DerivedConfig
from engine.students.sizes import BUILTIN, SIZES
from engine.students.spec import SourceStudent

SettingsT = TypeVar("SettingsT", bound=DerivedConfig)

Needs = Literal["any", "tokenizer", "initialisation"]
"""What students must have in common: nothing; the tokenizer; also the architecture and the weights that they began with."""

MEMBERS_FILE = "members.json"
"""In the directory of a student that is no single model: the operation that reads it, and the member that describes it."""

PREFIX_FILE = "adapter_config.json"
"""In the directory of a student that is a prefix: peft's description of it."""
BASE = "base"
"""In such a directory: the model that the prefix is put on."""


class Work(Protocol):
    """What an operation needs of its run: `engine.students.work` in the training process."""

    device: Any
    """Where to compute."""

    @property
    def seed(self) -> int:
        """Of everything that is drawn."""

    def check(self) -> None:
        """To be called between two pieces of work.

        Raises:
            Stopped: the run was asked to stop; it begins again behind what was kept.
        """

    def note(self, message: str) -> None:
        """Reports a deviation from what was configured."""

    def rows(self, source: SourceStudent, most: int) -> LearnedRows:
        """Rows that a student has learned, at most so many, drawn by the seed, in order.

        Raises:
            JobFailed: there are none.
        """

    def score(self, model: Any, split: str) -> float | None:
        """The share of the run's dev or test questions that a model answers correctly; None: there are none."""

    def keep(self, name: str, tensors: Mapping[str, Any]) -> None:
        """Writes tensors that were costly; `kept` has them after a kill."""

    def kept(self, name: str) -> dict[str, Any] | None:
        """The tensors that were kept under a name; None where there are none, or a disk has changed them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnedRows:
    """Rows of a student, with what they are read by."""

    texts: Sequence[Any]
    """Of `TrainRow`."""
    tokens: Sequence[Any]
    """Of `TokenRow`: each text's."""
    architecture: Any
    tokenizer: Any
    form: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A student that something is made from, as far as the configuration tells."""

    name: str
    method: str
    chain: tuple[str, ...]
    """Its name, and those of the students that it comes from; empty for a derived one, of which less is known."""
    base: str
    """What the last of them starts from."""
    operation: str = ""
    """What makes it, if it is derived."""
    part: str = ""
    """The part of its method that it is."""
    origin: tuple[str, str] = ("", "")
    """The last of them and its scope: whose weights it began with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What an operation made."""

    model: Any
    """A model of transformers, or a module that answers as one does: `config`, `generation_config`, `generate`."""
    figures: Mapping[str, float | str] = field(default_factory=dict)
    """What it found out, by name: shown beside the run."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """For a student that is no single model: the directories of its members, by the name that they get in its own."""
    prompt: str = ""
    """A text that its form puts before each question."""


@dataclass(frozen=True, kw_only=True)
class Operation(ABC, Generic[SettingsT]):
    """Makes a student from students: a function of sources, settings and seed."""

    name: str
    documentation: str
    """What it makes, in a paragraph."""
    title: str
    """What cards call it."""
    settings: type[SettingsT]
    """Its keys in `[[derived]]`."""
    needs: Needs
    """What its students must have in common."""
    roles: tuple[str, ...] = ()
    """The parts that its students take, in the order of `of`; empty: any number of students, in any order."""
    no_source: str = ""
    """Why others cannot be made from what it makes, after its name; empty: they can, if it is a single model."""
    reads_weights: bool = False
    """Whether each of its students must be one model with all of its weights: no prefix on a base, and no ensemble."""
    single_model: bool = True
    """Whether it makes one model, from which others can start."""
    least: int = 1
    """The fewest students that it is made from."""
    most: int | None = None
    """The most; None: any number."""
    baselines: Mapping[str, str] = field(default_factory=dict)
    """What it makes to compare with, by the name in `NAME_dev` and `NAME_test` of its figures, with the words of the report."""
    across: bool = False
    """Whether students of different tasks become one: all scopes of a single name, or of names that share none."""

    def runs(self, settings: SettingsT) -> bool:
        """Whether there is anything to make; if not, the report computes all of it from what is stored."""
        return True

    def said(self, settings: SettingsT) -> Sequence[str]:
        """How it was made, for the report, besides `title`."""
        return ()

    def misfit(self, members: Sequence[Member]) -> str:
        """Why these students do not go together, as far as the configuration tells; empty if they may."""
        return misfit(members, self)

    def refusal(self, sources: Sequence[SourceStudent]) -> str:
        """Why these exported students do not go together; empty if they do. Reads small files."""
        return (_no_weights(sources) if self.reads_weights else "") or refusal(sources, self.needs)

    @abstractmethod
    def make(self, sources: Sequence[SourceStudent], settings: SettingsT, work: Work) -> Made:
        """Makes the student. A function of its arguments: made again after a kill, it is the same to the bit.

        Raises:
            JobFailed: it cannot be made of these.
            Stopped: the run was asked to stop.
        """

    def load(self, directory: Path, device: Any) -> Any:
        """The exported student of an operation that makes no single model, loaded as `Made.model` was.

        Args:
            directory: of the student, with the file `MEMBERS_FILE`.
            device: where to put it.
        """
        raise NotImplementedError(f"{self.name} makes models")


def misfit(members: Sequence[Member], operation: Operation[Any]) -> str:
    """Why students do not go together in an operation, as far as the configuration tells; empty if they may."""
    if len(members) < operation.least:
        return f"{operation.name} needs at least {operation.least} students"
    if operation.most is not None and len(members) > operation.most:
        return f"{operation.name} is made from {operation.most} student, and here are {len(members)}: {', '.join(each.name for each in members)}"
    if operation.roles and len(members) != len(operation.roles):
        return f"{operation.name} is made from {len(operation.roles)} students: {', '.join(operation.roles)}"
    if operation.needs == "any":
        return ""
    known = [each for each in members if each.chain]
    for first, other in ((known[0], other) for other in known[1:]):
        two = f"{first.name} and {other.name}"
        if first.method != other.method:
            return f"{two} write other texts: method = {first.method!r} and {other.method!r}"
        if first.base != other.base and _tells(first.base, other.base, operation.needs):
            return (
                f"{two} come from {first.base} and {other.base}, which do not have the same {_common(operation.needs)}: let both"
                ' start from one student (base = "student:NAME")'
            )
        same_student = (first.chain[-1], first.origin) == (other.chain[-1], other.origin)
        if operation.needs == "initialisation" and first.base.startswith(BUILTIN) and not same_student:
            return (
                f"{two} begin with other weights, since {first.base} is made anew for each run: let both start from one student"
                ' (base = "student:NAME")'
            )
    return ""


def _common(needs: Needs) -> str:
    return "tokenizer" if needs == "tokenizer" else "initial weights"


def _tells(base: str, other: str, needs: Needs) -> bool:
    """Whether two different bases surely have less in common than is needed."""
    if needs == "initialisation":
        return True
    if base.startswith(BUILTIN) and other.startswith(BUILTIN):
        one, two = (SIZES[each.removeprefix(BUILTIN)] for each in (base, other))
        return (one.vocabulary, one.encoder_decoder) != (two.vocabulary, two.encoder_decoder)
    return base.startswith(BUILTIN) or other.startswith(BUILTIN)


def is_prefix(student: Path) -> bool:
    """Whether an exported student is a prefix on the base beside it."""
    return (student / PREFIX_FILE).is_file()


def described_by(student: Path) -> Path:
    """The directory whose configuration and tokenizer describe an exported student: its own, that of a member, or that of its base."""
    if is_prefix(student):
        return student / BASE
    try:
        return student / str(json.loads((student / MEMBERS_FILE).read_bytes())["like"])
    except FileNotFoundError:
        return student


def _no_weights(sources: Sequence[SourceStudent]) -> str:
    """Which of these is not one model with all of its weights; empty if all are."""
    for source in sources:
        if is_prefix(Path(source.directory)):
            return f"{source.words} is a prefix on its base, not a model of its own: name its base"
        if (Path(source.directory) / MEMBERS_FILE).is_file():
            return f"{source.words} is itself made of several models: name those"
    return ""


def refusal(sources: Sequence[SourceStudent], needs: Needs) -> str:
    """Why exported students do not go together; empty if they do."""
    for source in sources:
        if source.part:
            return (
                f'{source.words} is one part of a pair (part = "{source.part}"): make = "pair" joins the two'
            )
    if needs == "any":
        return ""
    first = sources[0]
    for other in sources[1:]:
        two = f"{first.words} and {other.words}"
        if (first.method, first.form) != (other.method, other.form):
            return f"{two} read and write other texts: another method, or another form"
        if first.guidance != other.guidance:
            return f"{two} write other texts: guidance = {first.guidance!r} and {other.guidance!r}"
        if tokenizer_digest(Path(first.directory)) != tokenizer_digest(Path(other.directory)):
            return (
                f"{two} have other tokenizers: the same numbers mean other words. Let both start from one student"
                ' (base = "student:NAME"), whose tokenizer they then share'
            )
        one, two_ = (_shape(Path(each.directory), needs) for each in (first, other))
        if differing := sorted(name for name in {*one, *two_} if one.get(name) != two_.get(name)):
            name = differing[0]
            return f"{two} have other architectures: {name} is {one.get(name)} and {two_.get(name)}"
        if needs == "initialisation" and not _beginnings(first) & _beginnings(other):
            return (
                f"{two} have no common ancestor: they begin with other weights. Let both start from one student"
                ' (base = "student:NAME"), or from one pretrained base'
            )
    return ""


def _beginnings(source: SourceStudent) -> set[str]:
    """What the weights of a student come from: its run and those before it, and a base with weights."""
    own = {f"run {key}" for key in (source.run_id, *source.ancestors)}
    return own if source.base.startswith(BUILTIN) else own | {source.base}


def tokenizer_digest(student: Path) -> str:
    """A digest of what decides the tokens of an exported student: vocabulary, merges, what comes before and after."""
    place = described_by(student)
    try:
        description = json.loads((place / "tokenizer.json").read_bytes())
    except FileNotFoundError:
        names = (
            "vocab.json",
            "merges.txt",
            "vocab.txt",
            "spiece.model",
            "tokenizer.model",
            "added_tokens.json",
        )
        found = [
            (name, sha256((place / name).read_bytes()).hexdigest())
            for name in names
            if (place / name).is_file()
        ]
        return sha256(json.dumps(found).encode()).hexdigest()
    for name in ("padding", "truncation"):  # of the last call, not of the tokenizer
        description.pop(name, None)
    return sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


SIDES = ("is_encoder_decoder", "vocab_size", "decoder_start_token_id")
"""What models that are asked together must agree on, besides their tokenizer."""
NOT_WEIGHTS = (
    "_name_or_path",
    "transformers_version",
    "dtype",
    "torch_dtype",
    "use_cache",
    "attn_implementation",
)


def _shape(student: Path, needs: Needs) -> dict[str, Any]:
    """What of a model's configuration has to be equal."""
    config: dict[str, Any] = json.loads((described_by(student) / "config.json").read_bytes())
    if needs == "tokenizer":
        return {name: config.get(name) for name in SIDES if name in config}
    return {name: value for name, value in config.items() if name not in NOT_WEIGHTS}
