"""The order of a plan's slots: by group of replicates, then by question, then by replicate within the group.

With groups of one, slot = replicate * questions + position. The last group of each question is smaller if the
rationales are not a multiple of the group size. Pure arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SlotGroup:
    """A group of replicates of the question at `position`: `first` to `first + size - 1`."""

    first: int
    size: int
    position: int
    questions: int

    def after(self, position: int) -> int:
        """The slot after the group of the question at `position`."""
        return self.first * self.questions + (position + 1) * self.size

    @property
    def end(self) -> int:
        """The slot after the same replicates of all questions."""
        return (self.first + self.size) * self.questions


def group_at(cursor: int, *, questions: int, rationales: int, group: int = 1) -> SlotGroup:
    """The group of slot `cursor`, which is below `questions * rationales`."""
    first = cursor // (questions * group) * group
    size = min(group, rationales - first)
    return SlotGroup(first, size, (cursor - first * questions) // size, questions)
