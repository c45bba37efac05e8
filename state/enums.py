"""The states that samples, attempts, batches and runs go through."""

from __future__ import annotations

from enum import StrEnum


class SampleState(StrEnum):
    """State of a sample."""

    OPEN = "open"  # claimed: in flight, or waiting for a retry
    STORED = "stored"  # its last turn was received and stored
    FAILED = "failed"  # given up, with a reason


class Outcome(StrEnum):
    """How an attempt ended; an attempt without an outcome is in flight."""

    OK = "ok"
    LIMITED = "limited"  # 429: the key pauses, the sample loses no attempt
    PARKED = "parked"  # refused because of key, quota or billing: the key is parked
    TRANSIENT = "transient"  # worth a retry
    MALFORMED = "malformed"  # a 200 without a valid completion
    UNKNOWN = "unknown"  # sent, but no answer arrived: it may have been billed
    PERMANENT = "permanent"  # the request itself is refused
    RELEASED = "released"  # claimed but never sent, or missing from the choices that one request returned


class BatchState(StrEnum):
    """State of a batch of requests."""

    NEW = "new"  # its rows are chosen; nothing of it can have been paid for
    CREATING = "creating"  # its file is uploaded; the provider may have made a batch of it
    LIVE = "live"  # the provider has it, and has given it an id
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"  # refused as a whole
    DROPPED = "dropped"  # never made


class NoteFlag(StrEnum):
    """What you say is wrong with a question or a sample."""

    GOLD_IS_WRONG = "gold is wrong"
    BAD_QUESTION = "bad question"
    BAD_RATIONALE = (
        "bad rationale"  # of one sample; the others are about the question, whatever sample you saw them in
    )


class RunState(StrEnum):
    """State of a student run."""

    QUEUED = "queued"
    STARTING = "starting"
    TRAINING = "training"
    EVALUATING = "evaluating"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"  # on request; `coterie train` starts it again


FINISHED_EARLY = "early"
"""The phase of a run that is done because the user had it finish before its last step; also the reason in its events."""

ACTIVE_RUN_STATES = (RunState.STARTING, RunState.TRAINING, RunState.EVALUATING)

TRAIN = "train"
"""The kind of a run that trains or measures its student; other kinds are operations that make one from others."""
