"""The states that samples, attempts, batches and runs go through."""

from __future__ import annotations

from enum import StrEnum


class SampleState(StrEnum):
    """Where a sample is in its life."""

    OPEN = "open"  # claimed: in flight, or waiting for its next try
    STORED = "stored"  # its last turn was received and stored
    FAILED = "failed"  # given up, with a reason


class Outcome(StrEnum):
    """How an attempt ended; an attempt without an outcome is in flight."""

    OK = "ok"
    LIMITED = "limited"  # 429: the key pauses, the sample loses no attempt
    PARKED = "parked"  # refused for key, quota or billing: the key is parked
    TRANSIENT = "transient"  # worth another try
    MALFORMED = "malformed"  # a 200 that is no completion
    UNKNOWN = "unknown"  # sent, and no answer was received: it may have been billed
    PERMANENT = "permanent"  # the request itself is refused
    RELEASED = "released"  # claimed, but never sent; or not among the choices that one request brought


class BatchState(StrEnum):
    """Where a batch of requests is in its life."""

    NEW = "new"  # its rows are chosen; nothing of it can have been paid for
    CREATING = "creating"  # its file is uploaded; the provider may have made a batch of it
    LIVE = "live"  # the provider has it, and has given it an id
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"  # refused as a whole
    DROPPED = "dropped"  # never made


class RunState(StrEnum):
    """Where a student run is in its life."""

    QUEUED = "queued"
    STARTING = "starting"
    TRAINING = "training"
    EVALUATING = "evaluating"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"  # by a person; `train` starts it again


ACTIVE_RUN_STATES = (RunState.STARTING, RunState.TRAINING, RunState.EVALUATING)
