"""What a trigger is: when a student is trained, how far that is, and what the run is called. Pure.

One module per kind of trigger stands beside this one; `state.triggers` finds them. Nothing else asks for a kind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self


@dataclass(frozen=True, kw_only=True, slots=True)
class LastRun:
    """The newest run of a student in a scope."""

    created_at: int
    """UTC milliseconds."""
    ended: bool = True
    fingerprint: str = ""
    digest: str = ""
    """Of its manifest: equal digests mean equal training rows."""
    counted: int | None = None
    """Samples that triggers counted when the run was made; None for a run of an older version."""
    id: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Stock:
    """What a student can be trained on in one scope, and which runs it had there."""

    plans: tuple[int, ...] = ()
    """Ids of the plans whose samples it reads."""
    samples: int = 0
    """Samples that its triggers count."""
    ended: int = 0
    """Slots of its plans that will not change any more, out of `wanted`."""
    wanted: int = 0
    complete: bool = False
    """Whether all its plans are done."""
    since: int = 0
    """When its first plan was created, UTC milliseconds."""
    fingerprint: str = ""
    """Of a run that would be made now; empty where it is not known (the monitor)."""
    runs: frozenset[str] = frozenset()
    """Trigger names of its runs with this fingerprint."""
    last: LastRun | None = None
    """Its newest run, whatever its fingerprint."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a trigger is: `have` of `goal`."""

    have: int
    goal: int
    unit: Literal["samples", "sampled", "seconds"]
    """What is counted: samples that the student can read, ended slots of its plans, or time."""
    reached: bool
    words: str = ""
    """Says it in place of the two numbers."""

    @property
    def remaining(self) -> int:
        """What is missing of `goal`."""
        return max(0, self.goal - self.have)

    def text(self, number: Callable[[int], str] = str, *, unit: bool = True) -> str:
        """`145/400`, `97/800 sampled`, `next in 2h10m`, with numbers in a display's own form."""
        if self.words:
            return self.words
        after = " sampled" if unit and self.unit == "sampled" else ""
        return f"{number(self.have)}/{number(self.goal)}{after}"


class Trigger(ABC):
    """One entry of `train_at`."""

    form: ClassVar[str]
    """How it is written, for messages."""
    schema: ClassVar[Mapping[str, Any]]
    """JSON Schema of such a value, for editors."""
    rank: ClassVar[int]
    """Order among kinds: of several one-time triggers that are reached at once, only the last one makes a run."""
    repeats: ClassVar[bool] = False
    """Whether it fires again and again. Nothing waits for its next time: `--until-idle` ends the daemon before it."""

    @classmethod
    @abstractmethod
    def parse(cls, value: object) -> Self | None:
        """The trigger that a value of `train_at` means; None where the value is of another kind.

        Raises:
            ValueError: it is of this kind, but malformed; the message says what is expected.
        """

    @property
    @abstractmethod
    def name(self) -> str:
        """As it is written in `train_at`."""

    @property
    def order(self) -> int:
        """Order among triggers of its kind."""
        return 0

    @abstractmethod
    def describe(self) -> str:
        """When it fires, in words: `at 400 samples`."""

    @abstractmethod
    def reached(self, stock: Stock, now: int) -> bool:
        """Whether its condition holds at `now` (UTC milliseconds)."""

    @abstractmethod
    def progress(self, stock: Stock, now: int) -> Progress:
        """How far it is."""

    def run_name(self, stock: Stock) -> str:
        """Name of the run that it would make now: the column `trigger` of the run."""
        return self.name

    def wakes_at(self, stock: Stock) -> int | None:
        """When it is reached if nothing but time changes (UTC milliseconds); None: time alone does not reach it."""
        return None
