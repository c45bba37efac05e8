"""What comes of wordings that are tried for a plan, in words and as records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from state.confidence_interval import accuracy_text, newcombe, wilson
from state.wordings import GIVEN, Search


@dataclass(frozen=True, kw_only=True, slots=True)
class WordingStatus:
    """A wording of a search: how many dev questions were graded, and how many of them are correct."""

    name: str
    n: int
    correct: int
    low: float
    high: float
    left: bool
    """Whether it may still win, or has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchStatus:
    """The wordings of a plan on a task. The given one is the first."""

    of: str
    task: str
    decided: bool
    best: str
    """The one that is left, once it is decided."""
    beats: bool
    """Whether it is better than the given one, by the 95 % interval of the difference."""
    text: str
    wordings: tuple[WordingStatus, ...]


def search_status(search: Search) -> SearchStatus:
    """A search as readers show it."""
    given = search.tried[GIVEN]
    return SearchStatus(
        of=given.of,
        task=given.task,
        decided=search.decided,
        best=search.tried[search.left[0]].wording if search.decided else "",
        beats=search.decided and _compared(search)[1] > 0,
        text=result_words(search),
        wordings=tuple(
            WordingStatus(
                name=each.wording,
                n=each.n,
                correct=each.correct,
                low=(reach := wilson(each.correct, each.n))[0],
                high=reach[1],
                left=each.place == GIVEN or each.place in search.left,
            )
            for each in search.tried
        ),
    )


def search_statuses(found: Sequence[Search]) -> tuple[SearchStatus, ...]:
    """All of them."""
    return tuple(map(search_status, found))


def result_words(search: Search) -> str:
    """Where a search stands, or what it found, in one sentence."""
    given = search.tried[GIVEN]
    about = f"wordings of {given.of} on {given.task}"
    if not search.decided:
        left = [search.tried[place] for place in search.left]
        first = max(left, key=lambda each: (each.correct / each.n if each.n else 0.0, -each.place))
        so_far = f"; the best so far is {first.wording}, {_share(first.correct, first.n)}" if first.n else ""
        return f"{about}: {len(left)} of {len(search.tried) - 1} are left{so_far}"
    best, (both, only_best, only_given, neither) = search.tried[search.left[0]], search.paired
    n = both + only_best + only_given + neither
    points, low, high = _compared(search)
    numbers = (
        f"{_share(both + only_best, n)}, the given one {_share(both + only_given, n)}: {_points(points)}"
        f" ({_points(low)} to {_points(high)}) points on {n:,} dev questions that chose nothing"
    )
    if low > 0:
        return f'{about}: {best.wording} beats the given one, {numbers}; prompts = "{best.wording}" takes it'
    return f"{about}: none is shown to beat the given one; the best is {best.wording}, {numbers}"


def _compared(search: Search) -> tuple[float, float, float]:
    """The best wording minus the given one, as shares, with its 95 % interval (Newcombe, paired by question)."""
    both, only_best, only_given, neither = search.paired
    n = both + only_best + only_given + neither
    if not n:
        return 0.0, -1.0, 1.0
    below, above = newcombe(both, only_best, only_given, neither)
    points = (only_best - only_given) / n
    return points, points - below, points + above


def _share(correct: int, n: int) -> str:
    return f"{accuracy_text(correct / n if n else 0.0, *wilson(correct, n))} %"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")
