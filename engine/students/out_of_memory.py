"""How running out of memory shows, whoever reports it. Imports nothing heavy."""

from __future__ import annotations

from engine.errors import JobFailed

_SAID = ("out of memory", "can't allocate memory", "bad_alloc", "alloc_failed", "cannot allocate memory")


class OutOfMemory(JobFailed):
    """A training step did not fit into memory. `divisible`: its micro-batches can be computed in more splits."""

    def __init__(self, message: str, *, divisible: bool) -> None:
        super().__init__(message)
        self.divisible = divisible


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch, CUDA, the C library or Python means that memory ran out."""
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
        return True
    return isinstance(error, RuntimeError) and any(said in str(error).lower() for said in _SAID)
