"""The five scenes of tracking shuffled objects: balls, presents, positions, books, dance partners."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

PEOPLE: tuple[str, ...] = ("Alice", "Bob", "Claire", "Dave", "Eve", "Fred", "Gertrude")

_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black", "brown", "pink")


@dataclass(frozen=True)
class Scene:
    """One setting: what people hold, and how the question words it.

    `hold` links a person to an object in the question, `has` links them in a rationale; `ending` is the question itself.
    """

    setting: str
    before: str
    hold: str
    has: str
    swap: str
    ending: str
    objects: tuple[str, ...]
    article: bool = False

    def held(self, who: str, thing: str) -> str:
        """A person and their object at the start, as the question words it."""
        article = ("an " if thing[0] in "aeiou" else "a ") if self.article else ""
        return f"{who} {self.hold} {article}{thing}"

    def named(self, thing: str) -> str:
        """An object as a sentence names it."""
        return f"the {thing}" if self.article else thing

    @cached_property
    def question(self) -> re.Pattern[str]:
        """Matches a question of this scene: groups held, swaps, asked, choices."""
        ending = re.escape(self.ending).replace(r"\{who\}", r"(?P<asked>\w+)")
        return re.compile(
            rf"\b\w{{1,40}}(?:, \w{{1,40}}){{0,25}},? and \w{{1,40}} {re.escape(self.setting)} (?P<held>[^.\n]{{1,1000}})\.\s+"
            rf"{re.escape(self.before)} (?P<swaps>(?:\w+, \w+ and \w+ {re.escape(self.swap)}\.\s+){{1,64}})"
            rf"{ending}\s+Which choice is true ?\? Answer [Cc]hoices: (?P<choices>\(A\)[^\n]{{1,1000}})"
        )

    @cached_property
    def holder(self) -> re.Pattern[str]:
        """Matches one person with their object at the start."""
        article = r"(?:an? )" if self.article else ""
        return re.compile(
            rf"(\w+) {re.escape(self.hold)} {article}(.+?)(?=, (?:and )?\w+ {re.escape(self.hold)}|$| and \w+ {re.escape(self.hold)})"
        )


def listed(parts: list[str]) -> str:
    """`A, B, and C`."""
    if len(parts) < 3:
        return " and ".join(parts)
    return f"{', '.join(parts[:-1])}, and {parts[-1]}"


SCENES: tuple[Scene, ...] = (
    Scene(
        setting="are playing a game. At the start of the game, they are each holding a ball:",
        before="As the game progresses, pairs of players trade balls.",
        hold="has",
        has="has",
        swap="swap balls",
        ending="At the end of the game, {who} has the",
        objects=tuple(f"{colour} ball" for colour in _COLOURS),
        article=True,
    ),
    Scene(
        setting="are holding a white elephant gift exchange. At the start of the event, they are each holding a present of a different color:",
        before="As the event progresses, pairs of people swap gifts.",
        hold="has",
        has="has",
        swap="swap their gifts",
        ending="At the end of the event, {who} has the",
        objects=tuple(f"{colour} present" for colour in _COLOURS),
        article=True,
    ),
    Scene(
        setting="are on the same team in a soccer match. At the start of the match, they are each assigned to a position:",
        before="As the game progresses, pairs of players occasionally swap positions.",
        hold="is playing",
        has="plays",
        swap="trade positions",
        ending="At the end of the match, {who} is playing",
        objects=(
            "goalkeeper",
            "striker",
            "benchwarmer",
            "cheerleader",
            "left winger",
            "right winger",
            "center midfielder",
            "left midfielder",
            "fullback",
        ),
    ),
    Scene(
        setting="are friends and avid readers who occasionally trade books. At the start of the semester, they each buy one new book:",
        before="As the semester proceeds, they start trading around the new books.",
        hold="gets",
        has="has",
        swap="swap books",
        ending="At the end of the semester, {who} has",
        objects=(
            "Catch-22",
            "Moby Dick",
            "The Great Gatsby",
            "Ulysses",
            "Frankenstein",
            "Lolita",
            "The Odyssey",
            "Hound of the Baskervilles",
            "The Pearl",
            "The Fellowship of the Ring",
        ),
    ),
    Scene(
        setting="are dancers at a square dance. At the start of a song, they each have a partner:",
        before="Throughout the song, the dancers often trade partners.",
        hold="is dancing with",
        has="dances with",
        swap="switch partners",
        ending="At the end of the dance, {who} is dancing with",
        objects=("Patrick", "Karl", "Izzi", "Sam", "Rodrigo", "Jamie", "Lola", "Melissa", "Ophelia", "Helga"),
    ),
)
