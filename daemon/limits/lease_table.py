"""Who of several processes may use how much of one key's limits: a table that all of them keep. Pure.

Each member writes what it wants and what it was granted, in turns; nobody is in charge. Invariant: what is granted
of a limit never adds up to more than all of it, whatever the order of turns, for a member takes only what the others'
entries leave: lowering takes effect at the lowered member's own turn, raising after that. A member that is alone
has everything; those that want more than there is get equal parts; one that wants less leaves the rest to others.

The table does not know where it is kept, nor how a member is known to be alive. Times are those of a monotonic clock
that all members share.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

STALE_S = 10.0
"""A member that did not take its turn for so long (a stopped process) sends nothing; its part goes to the others."""
MARGIN = 0.99
"""Of a rate that several pace, each with a little saved up, a server that counts strictly sees no more than all."""
ROOM = 1.5
"""A member that is not held back keeps so much more than it used of late."""
FLOOR = 0.02
"""And at least so much of an equal part, to begin with."""
ROTATE_S = 5.0
"""What cannot be divided (the last request at once) goes round in this time."""
MOST_PAUSE_S = 25 * 3600.0


@dataclass(slots=True)
class Need:
    """What one limit is for a member and how much of it is wanted.

    `total` is the whole limit (a second, or at once), None where it is not known; `used` is the use of the last
    seconds; `hungry` says that it was in the way.
    """

    total: float | None
    used: float
    hungry: bool


@dataclass(slots=True)
class Member:
    """One key of one process, as it stands in the table."""

    name: str
    pid: int
    started: float
    space: str
    """The process-id namespace, in which `pid` means something."""
    at: float = 0.0
    pause_until: float = 0.0
    needs: dict[str, Need] = field(default_factory=dict)
    granted: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """What a member may use: amounts by the name of a limit (none: all of it), and when the others' pauses end."""

    granted: Mapping[str, float]
    others_until: float
    others: int


class Table:
    """The members of one key."""

    def __init__(self, members: dict[str, Member] | None = None, pause_until: float = 0.0) -> None:
        self.members = members or {}
        self.pause_until = pause_until  # told to members that have left since

    @classmethod
    def read(cls, text: str, boot: str) -> Table:
        """The table in `text`; an empty one where it is none, or of an earlier start of the machine."""
        try:
            data, _ = json.JSONDecoder().raw_decode(text)
            if data["boot"] != boot:
                return cls()
            members = {}
            for item in data["members"]:
                needs = {name: Need(*need) for name, need in item.pop("needs").items()}
                member = Member(**item, needs=needs)
                members[member.name] = member
            return cls(members, float(data["pause_until"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return cls()

    def write(self, boot: str) -> str:
        """The table as text."""
        members: list[dict[str, Any]] = []
        for member in self.members.values():
            item = asdict(member)
            item["needs"] = {
                name: [need.total, need.used, need.hungry] for name, need in member.needs.items()
            }
            members.append(item)
        return json.dumps({"boot": boot, "pause_until": self.pause_until, "members": members})

    def turn(self, me: Member, now: float, alive: Callable[[Member], bool]) -> Part:
        """Takes a member's turn: its needs go in, what it may use comes out.

        Args:
            me: the member; its `needs` and `pause_until` are those of now, what it was granted is taken from the table.
            now: the time.
            alive: whether a member's process is there.
        """
        before = self.members.get(me.name)
        me.granted = dict(before.granted) if before is not None else {}
        me.at = now
        self.members[me.name] = me
        for name, member in list(self.members.items()):
            gone = not -1.0 <= now - member.at <= STALE_S or not alive(member)
            if member is not me and gone:
                self.leave(name, now)
        others = [member for member in self.members.values() if member is not me]
        granted: dict[str, float] = {}
        for name in me.needs:
            total = self._total(name)
            if total is None:
                me.granted.pop(name, None)
            elif not others:
                me.granted[name] = total
            else:
                granted[name] = self._part(name, total, me, now)
        pauses = [member.pause_until for member in others] + [self.pause_until]
        return Part(granted, min(max(pauses), now + MOST_PAUSE_S), len(others))

    def leave(self, name: str, now: float) -> None:
        """A member goes; what it was told to wait for still holds."""
        member = self.members.pop(name, None)
        if member is not None and now < member.pause_until <= now + MOST_PAUSE_S:
            self.pause_until = max(self.pause_until, member.pause_until)

    def _total(self, name: str) -> float | None:
        """The whole limit: the least that any member knows."""
        totals = [member.needs[name].total for member in self.members.values() if name in member.needs]
        return min((total for total in totals if total is not None), default=None)

    def _part(self, name: str, total: float, me: Member, now: float) -> float:
        whole = name == "concurrency"  # a number of requests: not to be divided further
        total = total if whole else MARGIN * total
        members = sorted(self.members.values(), key=lambda member: member.name)
        wants = []
        for member in members:
            need = member.needs.get(name, Need(None, 0.0, False))
            least = 1.0 if whole else FLOOR * total / len(members)
            wants.append(math.inf if need.hungry else max(ROOM * need.used, least))
        parts = divide(total, wants)
        if whole:
            parts = rounded(parts, int(total), int(now // ROTATE_S))
        held = sum(member.granted.get(name, 0.0) for member in members if member is not me)
        mine = max(0.0, min(parts[members.index(me)], total - held))
        me.granted[name] = max(mine, me.needs[name].used) if whole else mine  # what is out is out
        return mine


def divide(total: float, wants: list[float]) -> list[float]:
    """Parts of `total`: equal ones, but nobody gets more than it wants until all have that; then the rest is spread."""
    parts = [0.0] * len(wants)
    left, open_ = total, list(range(len(wants)))
    while open_:
        each = left / len(open_)
        small = [index for index in open_ if wants[index] <= each]
        if not small:
            for index in open_:
                parts[index] = each
            return parts
        for index in small:
            parts[index] = wants[index]
            left -= wants[index]
        open_ = [index for index in open_ if index not in small]
    return [part + max(0.0, left) / len(parts) for part in parts]


def rounded(parts: list[float], total: int, turn: int) -> list[float]:
    """Whole parts that add up to at most `total`; what is left over goes round, turn by turn."""
    whole = [math.floor(part + 1e-9) for part in parts]
    left = total - sum(whole)
    for step in range(len(parts)):
        index = (turn + step) % len(parts)
        if left > 0 and parts[index] > whole[index] + 1e-9:
            whole[index] += 1
            left -= 1
    return [float(part) for part in whole]
