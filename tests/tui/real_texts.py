"""Questions, gold answers and rationales as eight tasks have them; made up, always the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

NAMES = ("Josh", "Wendi", "Kylar", "Toula", "Carlos", "Melanie", "Eliza", "Marissa")
THINGS = ("apples", "marbles", "stickers", "pages", "tickets", "eggs", "stamps")
CHOICES = "ABCDE"
PLACES = ("a library", "the kitchen", "a train station", "the garden", "a museum")


@dataclass(frozen=True, slots=True)
class Case:
    """A question with its gold answer, a wrong one, and the steps that lead to an answer, in four ways to tell them."""

    text: str
    gold: str
    wrong: str
    steps: tuple[str, ...]

    def answer(self, correct: bool) -> str:
        return self.gold if correct else self.wrong

    def rationale(self, replicate: int, correct: bool) -> str:
        """What a teacher writes before its answer. A wrong one goes astray in its last step."""
        ways = ("Let us go step by step. ", "First, what is given. ", "", "The question asks for one thing. ")
        joints = (" Then ", " Next, ", " So ", " From this, ")
        way = replicate % 4
        told = ways[way] + joints[way].join(self.steps)
        end = "Checking this once more gives" if correct else "I take the other reading here, which gives"
        return f"{told} {end} {self.answer(correct)}."


def case(task: str, position: int) -> Case:
    """The question of a task at a position."""
    name, other, thing = NAMES[position % 8], NAMES[(position // 8 + 3) % 8], THINGS[position % 7]
    if task == "coin_flip":
        return _coins(name, other, position)
    if task == "last_letter":
        return _letters(name, other)
    if task == "date":
        return _date(position)
    if task == "strategy_qa":
        return _need(name, thing, position)
    if task == "commonsense_qa":
        return _place(name, thing, position)
    if task == "aqua":
        return _speed(name, position)
    return _count(name, other, thing, position)


def _coins(name: str, other: str, position: int) -> Case:
    flips = [position % 2, position // 2 % 2, position // 4 % 2]
    people = (name, other, NAMES[(position + 5) % 8])
    told = " ".join(
        f"{who} {'flips' if flip else 'does not flip'} the coin."
        for who, flip in zip(people, flips, strict=True)
    )
    up = sum(flips) % 2 == 0
    turned = ", ".join(who for who, flip in zip(people, flips, strict=True) if flip) or "nobody"
    return Case(
        f"A coin is heads up. {told} Is the coin still heads up?",
        "yes" if up else "no",
        "no" if up else "yes",
        (
            f"the coin was flipped by {turned}.",
            f"it was flipped {sum(flips)} times, which is {'even' if up else 'odd'}.",
        ),
    )


def _letters(name: str, other: str) -> Case:
    gold = name[-1] + other[-1]
    return Case(
        f'Take the last letters of the words in "{name} {other}" and concatenate them.',
        gold,
        gold[::-1] if gold != gold[::-1] else name[0].lower() + gold[1],
        (
            f'the last letter of "{name}" is "{name[-1]}".',
            f'the last letter of "{other}" is "{other[-1]}", and both are written one after the other.',
        ),
    )


def _date(position: int) -> Case:
    day = date(1980 + position % 40, 1 + position % 12, 1 + position % 28)
    back = 3 + position % 9
    gold = day - timedelta(days=back)
    return Case(
        f"Today is {day:%d %B %Y}. What is the date {back} days ago in MM/DD/YYYY?",
        f"{gold:%m/%d/%Y}",
        f"{gold + timedelta(days=1):%m/%d/%Y}",
        (
            f"today is {day:%m/%d/%Y}.",
            f"{back} days are taken away, over the end of the month where it is crossed.",
        ),
    )


def _need(name: str, thing: str, position: int) -> Case:
    have, need = 2 + position % 9, (3 + position % 5) * (1 + position % 3)
    yes = need > have
    return Case(
        f"Would {name} need more than {have} {thing} for {3 + position % 5} days at {1 + position % 3} a day?",
        "yes" if yes else "no",
        "no" if yes else "yes",
        (
            f"each day takes {1 + position % 3} {thing}.",
            f"over {3 + position % 5} days that is {need}, against {have}.",
        ),
    )


def _place(name: str, thing: str, position: int) -> Case:
    right = position % 5
    options = " ".join(f"({letter}) {place}" for letter, place in zip(CHOICES, PLACES, strict=True))
    return Case(
        f"{name} left {thing} where people usually look for them in {PLACES[right]}. Where are they? {options}",
        CHOICES[right],
        CHOICES[(right + 2) % 5],
        (
            f"the question speaks of {PLACES[right]}.",
            "the other options do not fit what people usually do.",
        ),
    )


def _speed(name: str, position: int) -> Case:
    hours, speed, right = 2 + position % 4, 40 + 5 * (position % 9), position % 5
    distance = hours * speed
    options = " ".join(f"({letter}) {distance + 10 * (at - right)}" for at, letter in enumerate(CHOICES))
    return Case(
        f"{name} drives for {hours} hours at {speed} km/h. How far is that in km? {options}",
        CHOICES[right],
        CHOICES[(right + 1) % 5],
        (
            "distance is speed times time.",
            f"{speed} × {hours} = {distance} km, which is option {CHOICES[right]}.",
        ),
    )


def _count(name: str, other: str, thing: str, position: int) -> Case:
    have, boxes, each, given = 5 + position % 40, 2 + position % 5, 3 + position % 7, 1 + position % 4
    gold = have + boxes * each - given
    return Case(
        f"{name} has {have} {thing}, buys {boxes} boxes of {each} and gives {given} to {other}. How many {thing} are left?",
        str(gold),
        str(gold + 1 + position % 3),
        (
            f"{name} starts with {have} {thing}.",
            f"{boxes} boxes of {each} are {boxes * each} more, which makes {have + boxes * each}.",
            f"{given} of them go to {other}.",
        ),
    )
