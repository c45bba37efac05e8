"""The state of one plan at work: what is open, whether more will be claimed, and what holds it up. Pure.

The state alone counts the samples that were claimed and have not ended. Its parts:

- *exhausted*: nothing more will be claimed for it;
- *waiting*: nothing is to be claimed before a further verdict;
- *unsettled*: verdicts came since it was last looked at whether it is exhausted;
- *shared*: another plan perhaps has samples in hand that this one asks for too;
- *held*: its own settings are at fault, and requests of it would be wasted until the user acts;
- *paused* by the user, *disabled* (no longer configured: what is in flight ends, nothing more is sent);
- *away*: its student is not served now, another task's is;
- *completed*: its completion was reported.

Invariants: `open` is never negative; a plan that waits has no verdict that it was not asked about; a plan is done
exactly when it is exhausted, has nothing open, and shares nothing that is open elsewhere.
"""

from __future__ import annotations


class PlanState:
    """Changed by its transitions alone."""

    __slots__ = (
        "_away",
        "_completed",
        "_disabled",
        "_exhausted",
        "_held",
        "_open",
        "_paused",
        "_shared",
        "_unsettled",
        "_waiting",
    )

    def __init__(
        self,
        *,
        exhausted: bool = False,
        shared: bool = False,
        paused: bool = False,
        disabled: bool = False,
        completed: bool = False,
    ) -> None:
        self._open = 0
        self._exhausted = exhausted
        self._waiting = False
        self._unsettled = True
        self._shared = shared
        self._paused = paused
        self._disabled = disabled
        self._completed = completed
        self._held = ""
        self._away = False

    @property
    def open(self) -> int:
        """Samples that were claimed and have not ended."""
        return self._open

    @property
    def exhausted(self) -> bool:
        """Whether nothing more will be claimed."""
        return self._exhausted

    @property
    def waiting(self) -> bool:
        """Whether nothing is to be claimed before a further verdict."""
        return self._waiting

    @property
    def unsettled(self) -> bool:
        """Whether verdicts came since it was last looked at whether it is exhausted."""
        return self._unsettled

    @property
    def shared(self) -> bool:
        """Whether another plan perhaps has samples in hand that this one asks for too."""
        return self._shared

    @property
    def paused(self) -> bool:
        """Whether the user paused it."""
        return self._paused

    @property
    def disabled(self) -> bool:
        """Whether it is no longer configured."""
        return self._disabled

    @property
    def completed(self) -> bool:
        """Whether its completion was reported."""
        return self._completed

    @property
    def held(self) -> str:
        """Why nothing more is sent for it until the user acts; empty where it is not held."""
        return self._held

    @property
    def set_aside(self) -> bool:
        """Whether its jobs stay outside the queues."""
        return self._paused or self._disabled or self._away or bool(self._held)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self._exhausted and self._open == 0 and not self._shared

    @property
    def to_look_at(self) -> bool:
        """Whether verdicts may have made it exhausted: all that it had open has ended."""
        return self._unsettled and self._open == 0

    # Samples

    def claimed(self, count: int) -> None:
        """Samples were claimed for it, or are taken up after an earlier daemon."""
        self._open += count

    def ended(self, count: int = 1) -> None:
        """Samples were stored or given up."""
        assert count <= self._open, f"{count} samples ended, {self._open} were open"
        self._open -= count

    def moved_to(self, other: PlanState) -> None:
        """An open sample is another plan's from now on."""
        self.ended()
        other.claimed(1)

    # Claims and verdicts

    def asked(self) -> None:
        """It is looked at whether anything is left to claim: later verdicts are news."""
        self._unsettled = False

    def answered(self, *, exhausted: bool, waiting: bool, shared: bool) -> None:
        """A claim came back: whether it was the last, or depends on verdicts; `shared`: plans alike have samples open."""
        self._exhausted = exhausted
        if exhausted:
            self._shared |= shared
            self._unsettled |= self._shared  # it is looked at again whether all that it asks for is in
        self._waiting = waiting and not self._unsettled

    def settled(self, *, exhausted: bool) -> None:
        """It was looked at without a claim whether anything is left."""
        self._exhausted = exhausted

    def shared_with_others(self, shared: bool) -> None:
        """It was looked at whether another plan has samples in hand that this one asks for too."""
        self._shared = shared

    def verdict_came(self) -> bool:
        """A sample of its task ended; returns whether the plan waited for that."""
        waited, self._waiting, self._unsettled = self._waiting, False, True
        return waited

    def wait_no_longer(self) -> None:
        """Caps or plans are others: it is asked anew."""
        self._waiting = False

    def reopened(self, *, exhausted: bool, shared: bool) -> None:
        """Given-up samples that it asks for are asked again, by itself or (`shared`) by another plan."""
        self._exhausted = exhausted
        self._shared |= shared
        self._waiting, self._unsettled = False, True
        self._completed = False

    # The user and the configuration

    def pause(self, paused: bool = True) -> None:
        """The user pauses or resumes it."""
        self._paused = paused

    def hold(self, reason: str) -> bool:
        """Its settings are at fault; returns whether that is new."""
        new = not self._held
        self._held = self._held or reason
        return new

    def release(self) -> bool:
        """The user resumed it; returns whether it was held."""
        was, self._held = bool(self._held), ""
        return was

    def disable(self, disabled: bool = True) -> None:
        """The configuration has it no longer, or again."""
        self._disabled = disabled

    def send_away(self, away: bool) -> bool:
        """Its student is served no longer, or again; returns whether that is new."""
        new, self._away = self._away != away, away
        return new

    def renewed(self, now: PlanState) -> None:
        """The configuration was read again; what is open stays open, and a completion holds while it is done."""
        self._waiting, self._unsettled = False, True
        self._exhausted, self._shared, self._paused = now._exhausted, now._shared, now._paused
        self._disabled, self._held = False, ""
        self._completed = self._completed and self.done

    def complete(self) -> None:
        """Its completion is reported."""
        self._completed = True

    def completed_before(self) -> None:
        """At a start: a plan that is done was reported by an earlier daemon."""
        self._completed = self.done
