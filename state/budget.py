"""The budget in force, and what was spent.

`coterie budget` replaces the configured cap until the configuration changes it. The command's row is the record:
its `args` hold the new cap (`usd`) and the configured one it replaced (`instead_of`, written when it was applied).
So it survives a restart, and a changed `[daemon] budget_usd` takes effect again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from state.sqlite import Connection


def amount(given: Any) -> float:
    """Reads an amount of dollars.

    Raises:
        ValueError: it is not a number from 0 to 1e9.
    """
    try:
        usd = float(given)
    except (TypeError, ValueError):
        usd = math.nan
    if not 0 <= usd <= 1e9:
        raise ValueError(f"a budget is a number of dollars from 0 to 1e9, not {str(given)[:40]!r}")
    return usd


def budget_in_force(connection: Connection, configured: float | None) -> float | None:
    """The cap in dollars: that of the last budget command if it replaced `configured`, else `configured`."""
    found = connection.execute(
        "SELECT args FROM command WHERE kind = 'budget' AND (state = 'done' OR state = 'pending' AND answer <> '') ORDER BY id DESC LIMIT 1"
    ).fetchone()
    if found is None:
        return configured
    try:
        args = json.loads(found[0])
        return amount(args["usd"]) if args["instead_of"] == configured else configured
    except (ValueError, TypeError, KeyError):
        return configured


@dataclass(frozen=True, slots=True)
class Spending:
    """Micro-dollars: what is known to be billed, what requests in flight may cost, and what ended ones may have cost.

    All three count against a budget.
    """

    spent: int = 0
    reserved: int = 0
    unknown: int = 0

    @property
    def used(self) -> int:
        """What counts against a budget."""
        return self.spent + self.reserved + self.unknown


def total_spending(connection: Connection) -> Spending:
    """Spending of all teachers, former ones included."""
    row = connection.execute(
        "SELECT coalesce(sum(spent_micros), 0), coalesce(sum(reserved_micros), 0), coalesce(sum(unknown_micros), 0)"
        " FROM teacher"
    ).fetchone()
    return Spending(*row)


def spending_by_plan(connection: Connection) -> dict[int, Spending]:
    """Spending of each plan, by id."""
    rows = connection.execute("SELECT id, spent_micros, reserved_micros, unknown_micros FROM plan")
    return {plan: Spending(*money) for plan, *money in rows}


def note_budget(connection: Connection, changes: Sequence[tuple[int, float, float | None]]) -> list[None]:
    """Stores in commands (by id) the budget they set and the configured one it replaces."""
    for command, usd, configured in changes:
        connection.execute(
            "UPDATE command SET args = json_set(args, '$.usd', json(?), '$.instead_of', json(?)) WHERE id = ?",
            (json.dumps(usd), json.dumps(configured), command),
        )
    return [None] * len(changes)
