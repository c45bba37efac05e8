"""Tables of what the configuration names: tasks with their questions, teachers and plans."""

from __future__ import annotations

from sqlalchemy import Index, Integer, UniqueConstraint
from sqlalchemy import text as sql_text
from sqlmodel import Field, SQLModel

from state.tables.columns import (
    STRICT,
    STRICT_CLUSTERED,
    added_int_column,
    added_text_column,
    int_column,
    key_column,
    real_column,
    text_column,
)


class Task(SQLModel, table=True):
    """A task: questions with gold answers of one format."""

    __table_args__ = STRICT
    id: int | None = key_column()
    name: str = text_column(unique=True)
    source: str = text_column()
    answer_format: str = text_column()
    digest: str = text_column()  # of all questions; a changed task is seen by it
    train: int = int_column()
    dev: int = int_column()
    test: int = int_column()
    active: int = int_column(1)  # 0: no longer in the configuration
    paused: int = int_column()
    created_at: int = int_column()
    stamp: str = added_text_column("")  # of its file when it was read; empty: read it again at every start
    longest: str = added_text_column("{}")  # JSON: bytes of the longest question by split
    unreadable: int = added_int_column()  # questions that are not used: their gold answer cannot be read
    labelled: int = added_int_column(1)  # 0: its questions have no gold answers


class Question(SQLModel, table=True):
    """A question and its gold answer; `position` counts within its task, split and generation."""

    __table_args__ = (
        UniqueConstraint("task_id", "key", "text_hash"),
        Index("question_order", "task_id", "split", "active", "position"),
        Index("question_unchecked", "id", sqlite_where=sql_text("checksum IS NULL")),
        STRICT,
    )
    id: int | None = key_column()
    task_id: int = key_column("task.id")
    key: str = text_column()
    split: str = text_column()
    position: int = int_column()
    text: str = text_column()
    text_hash: str = text_column()
    gold: str = text_column()
    rationale: str | None = text_column(null=True)
    active: int = int_column(1)
    unreadable: str = added_text_column("")  # why its gold answer cannot be read; then it is not active
    checksum: int | None = int_column(null=True)  # of text, gold and rationale


class Teacher(SQLModel, table=True):
    """A teacher API, with its counters."""

    __table_args__ = STRICT
    id: int | None = key_column()
    name: str = text_column(unique=True)
    dialect: str = text_column()
    model: str = text_column()
    base_url: str = text_column()
    state: str = text_column("ready")  # ready | paused | parked
    reason: str = text_column()
    active: int = int_column(1)
    requests: int = int_column()
    answered: int = int_column()
    status_429: int = int_column()
    retries: int = int_column()
    errors: int = int_column()
    unknown_attempts: int = int_column()
    prompt_tokens: int = int_column()
    completion_tokens: int = int_column()
    spent_micros: int = int_column()
    reserved_micros: int = int_column()  # of attempts that have not ended
    unknown_micros: int = added_int_column()  # of attempts that may have been billed


class Plan(SQLModel, table=True):
    """What to sample: one row for each plan of the configuration, task and recipe.

    `recipe` is the hash of what the teacher would see but for the question: models, strategy,
    prompts and parameters. A changed prompt under the same name is a new row. How many rationales it asks
    for is in `rationales`, `base`, `want` and `target` (`state/slots.py`), and changes no recipe.
    """

    __table_args__ = (UniqueConstraint("name", "task_id", "split", "recipe"), STRICT)
    id: int | None = key_column()
    name: str = text_column()
    task_id: int = key_column("task.id", index=True)
    split: str = text_column()
    recipe: str = text_column()
    teachers: str = text_column("[]")  # JSON list of names
    strategy: str = text_column()
    settings: str = text_column("{}")  # the plan's configuration, JSON
    rationales: int = int_column(1)  # of a question at most: its replicates are below this
    weight: float = real_column(1.0)
    active: int = int_column(1)
    cursor: int = int_column()  # base slots passed so far: replicate = cursor // questions
    wanted: int = int_column()  # slots that are known to be needed; grows where `want` or `target` is set
    claimed: int = int_column()
    stored: int = int_column()
    accepted: int = int_column()
    rejected: int = int_column()
    failed: int = int_column()
    skipped: int = int_column()  # slots of the base that the cursor passed and that were not needed
    spent_micros: int = int_column()
    reserved_micros: int = int_column()
    created_at: int = int_column()
    questions: int = added_int_column()
    base: int = added_int_column()  # of its rationales, those that every question gets, in the cursor's order
    want: int = (
        added_int_column()
    )  # correct rationales with which a question is done; 0: any number, all is in `base`
    target: int = (
        added_int_column()
    )  # correct rationales with which the plan is done; 0: when all its questions are
    together: int = added_int_column(
        1
    )  # rationales of a question that share one request: the order of its slots
    unless: str = added_text_column("")  # a recipe: questions with a correct sample of it are not asked
    unknown_micros: int = added_int_column()
    panel: str = added_text_column("")  # the fingerprint that the plans of a panel's members share; '' alone
    member: int = added_int_column()  # its place in the panel, from 0


class Need(SQLModel, table=True):
    """A question that was asked, has no more in flight than could still be missing, and is to be asked again.

    Follows from its samples and its plan's rule; kept in the transaction that changes them (`state/resampling.py`).
    """

    __table_args__ = (
        Index("need_order", "plan_id", "tries", "correct", "question_id"),
        STRICT_CLUSTERED,
    )
    plan_id: int | None = Field(default=None, sa_type=Integer, foreign_key="plan.id", primary_key=True)
    question_id: int | None = Field(
        default=None, sa_type=Integer, foreign_key="question.id", primary_key=True
    )
    tries: int = int_column()  # rationales asked for so far
    correct: int = int_column()
