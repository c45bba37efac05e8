"""Tables of training: runs, what each student starts from and reads, what it reported and what it answered."""

from __future__ import annotations

from sqlalchemy import Index, Integer, Text, UniqueConstraint
from sqlalchemy import text as sql_text
from sqlmodel import Field, SQLModel

from state.enums import RunState
from state.tables.columns import (
    STRICT,
    STRICT_CLUSTERED,
    added_text_column,
    int_column,
    key_column,
    real_column,
    text_column,
)


class Run(SQLModel, table=True):
    """One training of one student; UNIQUE(student, task, trigger, recipe), so it starts once."""

    __table_args__ = (UniqueConstraint("student", "scope", "trigger", "recipe"), STRICT)
    id: int | None = key_column()
    student: str = text_column()
    task_id: int | None = key_column("task.id", null=True)  # null: joint
    scope: str = text_column()  # the task's name, or "joint"
    trigger: str = text_column()  # "400", "complete", "manual-1"
    recipe: str = text_column()  # hash of what decides the student: its settings and its plans' recipes
    state: str = text_column(RunState.QUEUED)
    method: str = text_column()
    base: str = text_column()
    seed: int = int_column()
    zero_stage: int = int_column()
    spec: str = text_column("{}")
    digest: str = text_column()  # of the manifest
    samples: int = int_column()
    questions: int = int_column()
    drops: str = text_column("{}")  # JSON: why rows were left out, counted
    directory: str = text_column()
    device: str = text_column()
    pid: int | None = int_column(null=True)
    pid_started: float | None = real_column(null=True)
    boot_id: int | None = key_column("boot.id", null=True)
    tries: int = int_column()
    priority: int = int_column()
    phase: str = text_column()
    step: int = int_column()
    steps: int = int_column()
    loss: float | None = real_column(null=True)
    tokens_per_second: float | None = real_column(null=True)
    eta_s: float | None = real_column(null=True)
    accuracy: float | None = real_column(null=True)  # on test, once it was evaluated
    progress_offset: int = int_column()  # bytes of progress.jsonl already read
    error: str | None = text_column(null=True)
    created_at: int = int_column()
    started_at: int | None = int_column(null=True)
    ended_at: int | None = int_column(null=True)
    kind: str = added_text_column("train")  # "train", or the operation that makes its student from others
    figures: str = added_text_column("{}")  # JSON: what its process found out besides accuracies
    parameters: int | None = int_column(null=True)
    bytes: int | None = int_column(null=True)  # of the weights that answering needs
    train_flops: float | None = real_column(null=True)


class RunSource(SQLModel, table=True):
    """Which students a run starts from: the runs that made them."""

    __tablename__ = "run_source"
    __table_args__ = (Index("run_source_source", "source_id"), STRICT_CLUSTERED)
    run_id: int | None = Field(default=None, sa_type=Integer, foreign_key="run.id", primary_key=True)
    place: int | None = Field(default=None, sa_type=Integer, primary_key=True)
    source_id: int = key_column("run.id")
    role: str = Field(sa_type=Text, nullable=False)  # "base", "previous", or its part in the operation


class RunSample(SQLModel, table=True):
    """Which samples a run's student reads."""

    __tablename__ = "run_sample"
    __table_args__ = STRICT_CLUSTERED
    run_id: int | None = Field(default=None, sa_type=Integer, foreign_key="run.id", primary_key=True)
    sample_id: int | None = Field(default=None, sa_type=Integer, foreign_key="sample.id", primary_key=True)


class RunLabel(SQLModel, table=True):
    """A pseudo-label: the answer that most rationales of a question gave, which a run learns in place of the gold one."""

    __tablename__ = "run_label"
    __table_args__ = STRICT_CLUSTERED
    run_id: int | None = Field(default=None, sa_type=Integer, foreign_key="run.id", primary_key=True)
    question_id: int | None = Field(
        default=None, sa_type=Integer, foreign_key="question.id", primary_key=True
    )
    answer: str = text_column()
    votes: int = int_column()  # rationales that gave it
    voters: int = int_column()  # rationales that gave any answer


class Metric(SQLModel, table=True):
    """What a run reported at a step."""

    __table_args__ = STRICT_CLUSTERED
    run_id: int | None = Field(default=None, sa_type=Integer, foreign_key="run.id", primary_key=True)
    step: int | None = Field(default=None, sa_type=Integer, primary_key=True)
    at: int = int_column()
    epoch: float = real_column()
    loss: float = real_column()
    learning_rate: float = real_column()
    grad_norm: float | None = real_column(null=True)
    tokens_per_second: float | None = real_column(null=True)
    mfu: float | None = real_column(null=True)
    memory_mb: float | None = real_column(null=True)
    extra: str | None = text_column(None, null=True)  # JSON: "weight.TEACHER", where rows are selected


class Evaluation(SQLModel, table=True):
    """An accuracy with its interval: of a student (run_id), a teacher (plan_id) or chance."""

    __table_args__ = (UniqueConstraint("run_id", "task_id", "split", "step"), STRICT)
    id: int | None = key_column()
    run_id: int = key_column("run.id")
    task_id: int = key_column("task.id")
    split: str = text_column()
    step: int = int_column()
    epoch: float = real_column()
    n: int = int_column()
    correct: int = int_column()
    accuracy: float = real_column()
    low: float = real_column()  # 95 % interval (Wilson)
    high: float = real_column()
    seed: int = int_column()
    at: int = int_column()
    majority_of: int | None = int_column(null=True)  # sampled answers a question, where there are any
    majority: float | None = real_column(null=True)  # accuracy of what most of them say
    correct_format: float | None = real_column(
        null=True
    )  # share of the answers that have the mark of an answer
    complete: float | None = real_column(null=True)  # share of those that ended by themselves
    repetitions: str | None = text_column(
        None, null=True
    )  # accuracy of each repetition of the sampled answers, JSON
    prompt_tokens: int | None = int_column(null=True)  # read for the greedy answers, over all their turns
    completion_tokens: int | None = int_column(null=True)  # written for them
    flops: float | None = real_column(null=True)  # of one of them, on average
    seconds: float | None = real_column(null=True)  # that devices took for them
    formats: str | None = text_column(
        None, null=True
    )  # results in each further format that the student was trained in, JSON


class Prediction(SQLModel, table=True):
    """A student's answer to a test or dev question."""

    __table_args__ = (
        Index("prediction_unchecked", "run_id", sqlite_where=sql_text("checksum IS NULL")),
        STRICT,
    )
    run_id: int | None = Field(default=None, sa_type=Integer, foreign_key="run.id", primary_key=True)
    question_id: int | None = Field(
        default=None, sa_type=Integer, foreign_key="question.id", primary_key=True
    )
    split: str = text_column()
    text: str = text_column()
    extracted: str | None = text_column(null=True)
    correct: int = int_column()
    reason: str = text_column()
    checksum: int | None = int_column(null=True)  # of the text
    prompt_tokens: int | None = int_column(null=True)  # read for it
    tokens: int | None = int_column(null=True)  # written
    flops: float | None = real_column(null=True)  # of reading and writing them
