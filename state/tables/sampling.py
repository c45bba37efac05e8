"""Tables of sampling: samples, the attempts and batches that brought them, and their verdicts."""

from __future__ import annotations

from sqlalchemy import Index, Integer, LargeBinary, UniqueConstraint
from sqlalchemy import text as sql_text
from sqlmodel import Field, SQLModel

from state.enums import BatchState, SampleState
from state.tables.columns import (
    STRICT,
    STRICT_CLUSTERED,
    added_int_column,
    int_column,
    key_column,
    real_column,
    text_column,
)


class Sample(SQLModel, table=True):
    """One rationale asked of a teacher: (question, recipe, replicate)."""

    __table_args__ = (
        UniqueConstraint("question_id", "recipe", "replicate"),
        Index("sample_by_plan_state", "plan_id", "state", "verdict"),
        Index("sample_by_task", "task_id", "split", "verdict"),
        Index("sample_unchecked", "id", sqlite_where=sql_text("state = 'stored' AND checksum IS NULL")),
        STRICT,
    )
    id: int | None = key_column()
    plan_id: int = key_column("plan.id")
    task_id: int = key_column("task.id")
    question_id: int = key_column("question.id")
    split: str = text_column()
    teacher_id: int = key_column("teacher.id")
    recipe: str = text_column()
    replicate: int = int_column()
    state: str = text_column(SampleState.OPEN)
    attempts: int = int_column()  # attempts that count against the limit
    unknowns: int = int_column()  # attempts that ended without an answer
    rationale: str | None = text_column(null=True)
    answer: str | None = text_column(null=True)
    verdict: int | None = int_column(null=True)  # 1 correct, 0 wrong, null not graded
    extracted: str | None = text_column(null=True)
    flags: str = text_column("[]")  # JSON list: truncated, refused, …
    finish_reason: str | None = text_column(null=True)
    prompt_tokens: int = int_column()
    completion_tokens: int = int_column()
    cost_micros: int = int_column()
    reason: str | None = text_column(null=True)  # why it failed
    created_at: int = int_column()
    stored_at: int | None = int_column(null=True)
    checksum: int | None = int_column(null=True)  # of rationale and answer


class Attempt(SQLModel, table=True):
    """One request to a teacher for one turn of a sample; written before a byte leaves.

    Where one request asks for several rationales of a question, each of their samples has an attempt: they share
    `request_id`, `choice` counts them from 0, and all but the first name the first in `leader_id`. The first has the
    body (`Completion`) and the reservation of the prompt; tokens and cost of the answer are split, exactly.
    """

    __table_args__ = (
        Index("attempt_open", "boot_id", sqlite_where=sql_text("outcome IS NULL")),
        STRICT,
    )
    id: int | None = key_column()
    sample_id: int = key_column("sample.id", index=True)
    turn: int = int_column()
    teacher_id: int = key_column("teacher.id")
    boot_id: int = key_column("boot.id")
    request_id: str = text_column()  # ours, sent along
    choice: int = int_column()  # which of the answers to its request
    provider_id: str | None = text_column(null=True)  # the provider's own
    outcome: str | None = text_column(null=True)
    status: int | None = int_column(null=True)  # HTTP status, where there was one
    reason: str | None = text_column(null=True)
    reserved_micros: int = int_column()
    cost_micros: int = int_column()
    prompt_tokens: int = int_column()
    completion_tokens: int = int_column()
    cached_tokens: int = int_column()
    reasoning_tokens: int = int_column()
    estimated: int = int_column()  # 1: the answer carried no usable usage
    latency_ms: int | None = int_column(null=True)
    claimed_at: int = int_column()
    ended_at: int | None = int_column(null=True)
    cache_write_tokens: int = added_int_column()
    leader_id: int | None = int_column(null=True)  # the first attempt of its request; null: itself
    unknown_micros: int = added_int_column()  # what it reserved, if it may have been billed; not in its cost
    answer: str | None = text_column(
        null=True
    )  # of a panel's member: the answer in this turn, null if there is none


class Batch(SQLModel, table=True):
    """Requests that were handed to a provider as one file; written before a byte leaves."""

    __table_args__ = (UniqueConstraint("mark"), Index("batch_by_state", "teacher_id", "state"), STRICT)
    id: int | None = key_column()
    teacher_id: int = key_column("teacher.id")
    boot_id: int = key_column("boot.id")
    key: str = text_column()  # the label of the API key it was sent with
    mark: str = text_column()  # ours, sent along as metadata: it is found again by it
    state: str = text_column(BatchState.NEW)
    provider_id: str | None = text_column(null=True)
    input_file_id: str | None = text_column(null=True)
    output_file_id: str | None = text_column(null=True)
    error_file_id: str | None = text_column(null=True)
    status: str = text_column()  # the provider's own word
    reason: str = text_column()  # why it failed, in the provider's words
    requests: int = int_column()
    bytes: int = int_column()  # of its input file
    completed: int = int_column()  # as the provider counts
    failed: int = int_column()
    created_at: int = int_column()
    sent_at: int | None = int_column(null=True)
    looked_at: int | None = int_column(null=True)
    ended_at: int | None = int_column(null=True)


class BatchAttempt(SQLModel, table=True):
    """Which attempts went out in a batch. A table of its own, so that others cost nothing."""

    __tablename__ = "batch_attempt"
    __table_args__ = (Index("attempts_of_batch", "batch_id"), STRICT_CLUSTERED)
    attempt_id: int | None = Field(default=None, sa_type=Integer, foreign_key="attempt.id", primary_key=True)
    batch_id: int = key_column("batch.id")


class Completion(SQLModel, table=True):
    """What came back for an attempt, as received; never changed. Once for a request, with its first attempt."""

    __table_args__ = STRICT
    attempt_id: int | None = Field(default=None, sa_type=Integer, foreign_key="attempt.id", primary_key=True)
    raw: bytes = Field(default=b"", sa_type=LargeBinary)  # the body, zlib
    size: int = int_column()  # of the body, uncompressed
    finish_reason: str | None = text_column(null=True)
    received_at: int = int_column()


class Logprob(SQLModel, table=True):
    """Log-probabilities of a completion's tokens, packed (`state/logprobs.py`), where its plan asks for them."""

    __table_args__ = STRICT
    attempt_id: int | None = Field(default=None, sa_type=Integer, foreign_key="attempt.id", primary_key=True)
    tokens: int = int_column()
    mean: float = real_column()  # of the chosen tokens, in nats
    data: bytes = Field(default=b"", sa_type=LargeBinary)


class Grade(SQLModel, table=True):
    """A verdict on a sample, by one version of one grader."""

    __table_args__ = (UniqueConstraint("sample_id", "grader"), STRICT)
    id: int | None = key_column()
    sample_id: int = key_column("sample.id")
    grader: str = text_column()  # name:version
    correct: int = int_column()
    extracted: str | None = text_column(null=True)
    reason: str = text_column()
    flags: str = text_column("[]")
    graded_at: int = int_column()


class Note(SQLModel, table=True):
    """What you noted about a question, or about one of its samples: at most one of each (`state/notes.py`)."""

    __table_args__ = (UniqueConstraint("sample_id"), Index("note_by_question", "question_id"), STRICT)
    id: int | None = key_column()
    question_id: int = key_column("question.id")
    sample_id: int | None = key_column("sample.id", null=True)  # null: about the question
    flag: str = text_column()  # gold is wrong, bad question, bad rationale; empty: words alone
    text: str = text_column()
    noted_at: int = int_column()
