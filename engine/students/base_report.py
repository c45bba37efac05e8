"""What `coterie check` asks about the base of a student, and what the process that opens it answers. Imports nothing heavy."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from engine.config.students import StudentConfig
from engine.students.memory_needs import Shape


class TaskGolds(BaseModel):
    """Gold answers of a task, each with its question."""

    model_config = ConfigDict(frozen=True)

    task: str
    answer_format: str
    golds: tuple[tuple[str, str], ...]


class UnwrittenGolds(BaseModel):
    """Gold answers of a task that the vocabulary of a student cannot write, with what it makes of them."""

    model_config = ConfigDict(frozen=True)

    task: str
    tried: int
    """Different gold answers."""
    lost: tuple[tuple[str, str | None], ...]


class BaseQuestion(BaseModel):
    """A student whose base is to be opened."""

    model_config = ConfigDict(frozen=True)

    student: StudentConfig
    base: str
    """An absolute path, or a hub id."""
    device: str
    """cpu or cuda."""
    golds: tuple[TaskGolds, ...] = ()


class BaseReport(BaseModel):
    """What is known of the base of a student without loading its weights."""

    model_config = ConfigDict(frozen=True)

    student: str
    refused: str = ""
    """Why it cannot be used; everything below may be unknown then."""
    absent: str = ""
    """Why it cannot be looked at: it is not on this machine. Everything below may be unknown."""
    architecture: str = ""
    """The class of the model."""
    shape: Shape | None = None
    tokens: int = 0
    """In its tokenizer."""
    ends: tuple[str, ...] = ()
    """The tokens that end a completion."""
    form: str = ""
    template: bool = False
    """Whether the tokenizer has a chat template."""
    context: int | None = None
    """Context length in tokens; None: no limit."""
    bf16: bool = False
    """Whether it is computed in bf16."""
    device_memory: int | None = None
    """Bytes of a GPU; None on a CPU."""
    unwritten: tuple[UnwrittenGolds, ...] = ()
    notes: tuple[str, ...] = ()
