"""The budget that a person raised (or lowered) while a daemon ran: it holds until the configuration says another one.

It stands in the command that asked for it: `args` of the row hold the new cap (`usd`) and the configured one that it
stands in place of (`instead_of`, written when it was applied). So it survives a restart, and a changed
`[daemon] budget_usd` wins again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from state.sqlite import Connection


def amount(given: Any) -> float:
    """A number of dollars, as a person wrote it.

    Raises:
        ValueError: it is none, or below zero.
    """
    try:
        usd = float(given)
    except (TypeError, ValueError):
        usd = math.nan
    if not 0 <= usd <= 1e9:
        raise ValueError(f"a budget is a number of dollars from 0 to 1e9, not {str(given)[:40]!r}")
    return usd


def budget_in_force(connection: Connection, configured: float | None) -> float | None:
    """The cap in dollars: the last one a person asked for, where it stands in place of `configured`; else that."""
    found = connection.execute(
        "SELECT args FROM command WHERE state = 'done' AND kind = 'budget' ORDER BY id DESC LIMIT 1"
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
    """Micro-dollars: `used` in all, of which `reserved` for requests in flight."""

    used: int
    reserved: int


def total_spending(connection: Connection) -> Spending:
    """Of all teachers, former ones included."""
    row = connection.execute(
        "SELECT coalesce(sum(spent_micros + reserved_micros), 0), coalesce(sum(reserved_micros), 0) FROM teacher"
    ).fetchone()
    return Spending(*row)


def spending_by_plan(connection: Connection) -> dict[int, Spending]:
    """Of each plan, by id."""
    rows = connection.execute("SELECT id, spent_micros + reserved_micros, reserved_micros FROM plan")
    return {plan: Spending(used, reserved) for plan, used, reserved in rows}


def note_budget(connection: Connection, changes: Sequence[tuple[int, float, float | None]]) -> list[None]:
    """Writes into commands (by id) what they set the budget to, and instead of which configured one."""
    for command, usd, configured in changes:
        connection.execute(
            "UPDATE command SET args = ? WHERE id = ?",
            (json.dumps({"usd": usd, "instead_of": configured}), command),
        )
    return [None] * len(changes)
