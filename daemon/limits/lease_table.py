"""A lease table: how several processes divide the limits of one key. Pure.

In turns, each member writes its needs and takes its lease; no member is in charge. Invariant: the leases of a limit
never add up to more than the limit, whatever the order of turns, because a member takes only what the others'
entries leave: a lower share takes effect at that member's own turn, a higher one after that. A single member
gets everything; members that want more than there is get equal shares; one that wants less leaves the rest to others.

Times are those of a monotonic clock that all members share.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

STALE_S = 10.0
"""A member that took no turn for this long (a stopped process) sends nothing; its share goes to the others."""
MARGIN = 0.99
"""Fraction of a rate that is leased, since each member may save up a little: a strict server never sees more than all."""
ROOM = 1.5
"""A member that is not held back gets this multiple of its recent use."""
FLOOR = 0.02
"""And at least this fraction of an equal share."""
ROTATE_S = 5.0
"""Seconds until an indivisible rest (the last request at once) goes to the next member."""
MOST_PAUSE_S = 25 * 3600.0


@dataclass(slots=True)
class Need:
    """A member's need of one limit.

    `total` is the whole limit (per second, or at once), None if it is not known; `used` is the use of the last
    seconds; `bound` says that the limit held requests back.
    """

    total: float | None
    used: float
    bound: bool


@dataclass(slots=True)
class Member:
    """One key of one process, as stored in the table."""

    name: str
    pid: int
    started: float
    space: str
    """The process-id namespace of `pid`."""
    at: float = 0.0
    pause_until: float = 0.0
    needs: dict[str, Need] = field(default_factory=dict)
    granted: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lease:
    """A member's share: amounts by the name of a limit (absent: all of it), and when the others' pauses end."""

    granted: Mapping[str, float]
    others_until: float
    others: int


class LeaseTable:
    """The members of one key."""

    def __init__(self, members: dict[str, Member] | None = None, pause_until: float = 0.0) -> None:
        self.members = members or {}
        self.pause_until = pause_until  # of members that have left since

    @classmethod
    def read(cls, text: str, boot: str) -> LeaseTable:
        """The table in `text`; an empty one if it is not valid, or older than the machine's start."""
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
            item["needs"] = {name: [need.total, need.used, need.bound] for name, need in member.needs.items()}
            members.append(item)
        return json.dumps({"boot": boot, "pause_until": self.pause_until, "members": members})

    def turn(self, me: Member, now: float, alive: Callable[[Member], bool]) -> Lease:
        """Takes a member's turn: stores its needs, returns its lease.

        Args:
            me: the member with its present `needs` and `pause_until`; its granted amounts come from the table.
            now: the time.
            alive: whether a member's process is alive.
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
                granted[name] = self._share(name, total, me, now)
        pauses = [member.pause_until for member in others] + [self.pause_until]
        return Lease(granted, min(max(pauses), now + MOST_PAUSE_S), len(others))

    def leave(self, name: str, now: float) -> None:
        """Removes a member; a wait that the server asked it for still holds."""
        member = self.members.pop(name, None)
        if member is not None and now < member.pause_until <= now + MOST_PAUSE_S:
            self.pause_until = max(self.pause_until, member.pause_until)

    def _total(self, name: str) -> float | None:
        """The whole limit: the least that any member knows."""
        totals = [member.needs[name].total for member in self.members.values() if name in member.needs]
        return min((total for total in totals if total is not None), default=None)

    def _share(self, name: str, total: float, me: Member, now: float) -> float:
        whole = name == "concurrency"  # a whole number of requests
        total = total if whole else MARGIN * total
        members = sorted(self.members.values(), key=lambda member: member.name)
        wants = []
        for member in members:
            need = member.needs.get(name, Need(None, 0.0, False))
            least = 1.0 if whole else FLOOR * total / len(members)
            wants.append(math.inf if need.bound else max(ROOM * need.used, least))
        shares = divide(total, wants)
        if whole:
            shares = rounded(shares, int(total), int(now // ROTATE_S))
        held = sum(member.granted.get(name, 0.0) for member in members if member is not me)
        mine = max(0.0, min(shares[members.index(me)], total - held))
        me.granted[name] = max(mine, me.needs[name].used) if whole else mine  # requests in flight stay so
        return mine


def divide(total: float, wants: list[float]) -> list[float]:
    """Divides `total` equally, but nobody gets more than it wants until all have that; then the rest is spread."""
    shares = [0.0] * len(wants)
    left, open_ = total, list(range(len(wants)))
    while open_:
        each = left / len(open_)
        small = [index for index in open_ if wants[index] <= each]
        if not small:
            for index in open_:
                shares[index] = each
            return shares
        for index in small:
            shares[index] = wants[index]
            left -= wants[index]
        open_ = [index for index in open_ if index not in small]
    return [share + max(0.0, left) / len(shares) for share in shares]


def rounded(shares: list[float], total: int, turn: int) -> list[float]:
    """Whole shares that add up to at most `total`; the rest goes to the members in turn."""
    whole = [math.floor(share + 1e-9) for share in shares]
    left = total - sum(whole)
    for step in range(len(shares)):
        index = (turn + step) % len(shares)
        if left > 0 and shares[index] > whole[index] + 1e-9:
            whole[index] += 1
            left -= 1
    return [float(share) for share in whole]
