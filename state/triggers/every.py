"""`train_at = ["every 6h"]`: a run again and again, as long as there is something new to train on.

The interval counts from the creation of the student's last run in that scope, whatever made it, and before the first
one from the creation of its first plan. Both stand in `state.db`, so a restart does not reset it; an interval that
ended while no daemon ran fires at the next start. No run is made while the last one has not ended, and none where
nothing changed since: neither the number of samples nor the student's settings and data. Then it waits for that.

`--until-idle` does not wait for the next interval: add `"complete"` to train on everything at the end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from state.triggers._base import Progress, Stock, Trigger

UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
LONGEST_S = 366 * UNITS["d"]
_FORM = re.compile(r"every ((?:[0-9]{1,6}d)?(?:[0-9]{1,6}h)?(?:[0-9]{1,6}m)?)")


@dataclass(frozen=True, slots=True)
class Every(Trigger):
    """Fires at an interval, and only where something is new."""

    form: ClassVar[str] = '"every 6h"'
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "string",
        "pattern": r"^every (?=[0-9])([0-9]{1,6}d)?([0-9]{1,6}h)?([0-9]{1,6}m)?$",
    }
    rank: ClassVar[int] = 1
    repeats: ClassVar[bool] = True
    interval: str
    """As it was written: `1h30m`."""
    seconds: int

    @classmethod
    def parse(cls, value: object) -> Self | None:
        """`every ` and days, hours and minutes: `every 30m`, `every 6h`, `every 1d12h`.

        Raises:
            ValueError: the interval is malformed, or not from 1 minute to 366 days.
        """
        if not isinstance(value, str) or value.split(" ")[0] != "every":
            return None
        found = _FORM.fullmatch(value)
        seconds = _seconds(found[1]) if found else 0
        if found is None or not found[1]:
            raise ValueError('expected an interval such as "every 30m", "every 6h" or "every 1d12h"')
        if not UNITS["m"] <= seconds <= LONGEST_S:
            raise ValueError("expected an interval from 1m to 366d")
        return cls(found[1], seconds)

    @property
    def name(self) -> str:
        """With the interval as it was written."""
        return f"every {self.interval}"

    @property
    def order(self) -> int:
        """Longer intervals come later."""
        return self.seconds

    def describe(self) -> str:
        """With the interval, and what else it takes."""
        return f"every {self.interval} if there is something new"

    def run_name(self, stock: Stock) -> str:
        """Numbered, so that each firing has a name of its own: `every 6h #3`."""
        numbers = [int(found[1]) for name in stock.runs if (found := re.fullmatch(self._numbered, name))]
        return f"{self.name} #{max(numbers, default=0) + 1}"

    def reached(self, stock: Stock, now: int) -> bool:
        """Whether the interval is over, the last run has ended, and something changed since."""
        wakes = self.wakes_at(stock)
        return wakes is not None and now >= wakes

    def wakes_at(self, stock: Stock) -> int | None:
        """The end of the interval; None where something else is waited for."""
        if self._waits_for(stock):
            return None
        return self._over_at(stock)

    def progress(self, stock: Stock, now: int) -> Progress:
        """Time since the interval began, and what is waited for."""
        left = max(0, self._over_at(stock) - now + 999) // 1_000
        reached = self.reached(stock, now)
        if reached:
            words = "due"
        elif left:
            words = f"next in {_words(left)}"
        else:
            words = self._waits_for(stock)
        return Progress(
            have=max(0, self.seconds - left), goal=self.seconds, unit="seconds", reached=reached, words=words
        )

    def _over_at(self, stock: Stock) -> int:
        return (stock.last.created_at if stock.last else stock.since) + 1_000 * self.seconds

    def _waits_for(self, stock: Stock) -> str:
        if not stock.samples and stock.wanted:
            return "waiting for the first samples"
        last = stock.last
        if last is None:
            return ""
        if not last.ended:
            return "waiting for the last run to end"
        same = stock.fingerprint in ("", last.fingerprint) and last.counted == stock.samples
        return "waiting for new samples" if same else ""

    @property
    def _numbered(self) -> str:
        return re.escape(self.name) + r" #(\d+)"


def _seconds(interval: str) -> int:
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([dhm])", interval))


def _words(seconds: int) -> str:
    """The two largest units: `2h10m`, `45s`."""
    units = list(UNITS)
    first = next(index for index, unit in enumerate(units) if seconds >= UNITS[unit] or unit == "s")
    text = ""
    for unit in units[first : first + 2]:
        number, seconds = divmod(seconds, UNITS[unit])
        text += f"{number:02}{unit}" if text and number else f"{number}{unit}" if number else ""
    return text
