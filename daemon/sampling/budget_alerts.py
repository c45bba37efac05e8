"""Tells a person once that a cap is used up, and not again before it is another one.

While the last requests are out, reservations fill a cap and come back as each of them ends, so a plan is short of
money again and again with much of the cap left. What was spent does not come back. So a cap is used up when a
request would not fit even if everything reserved came back, and that happens once: until the cap is raised (or
lowered). It knows neither claims nor requests.
"""

from __future__ import annotations

from daemon import events
from daemon.sampling.budget import Ledger


class BudgetAlerts:
    """Which caps a person was told of."""

    def __init__(self, ledger: Ledger, bus: events.Bus) -> None:
        self._ledger = ledger
        self._bus = bus
        self._told: dict[str, int | None] = {}  # the cap, by the account's words

    def note(self, plan_id: int, teacher_id: int, need: int) -> str:
        """A request of this plan to this teacher, of at most `need` micro-dollars, finds too little room.

        Returns:
            The cap that is used up, in a person's words; empty while money that is only reserved may come back.
        """
        account = self._ledger.used_up(plan_id, teacher_id, need)
        if account is None:
            return ""
        if self._told.get(account.words) != account.cap:
            self._told[account.words] = account.cap
            self._bus.emit(events.BudgetReached(which=account.words))
        return account.words
