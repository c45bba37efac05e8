"""Panels: what each teacher is sent, when it ends, and lives of a panel that is killed between any two commits.

Accuracy is no gate: with models that err independently a vote over as many answers is better.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest.mock import patch

import anyio

from bench.systems._panel_lives import NOTHING, ROUNDS, TEXT, live
from bench.systems.gates import Gate
from daemon.sampling.panels import _Question
from engine.question import Question
from engine.strategies import Conversation, Panel, Settings, brainstorm, strategy
from engine.teachers.messages import Completion

LIVES = 300
CHARACTERS = 80

FIRST = "{question}\n\nThink step by step. Then end with one last line of the form\nAnswer: X\nwhere X is a number in digits, and nothing else."
AGAIN = (
    "{question}\n\nYour last answer:\n{own}\n\nOthers were asked the same question. Their solutions:\n\nSolution 1:\n{one}\n\nSolution 2:\n{two}"
    "\n\nSolutions can be wrong, yours too. Compare them, and think again step by step. Then end with one last line of the form\nAnswer: X\n"
    "where X is a number in digits, and nothing else."
)
"""Written anew here: what a teacher has to get."""

Plant = Callable[[], contextlib.AbstractContextManager[Any]]


def gates(broken: bool, *, lives: int = LIVES) -> Iterator[Gate]:
    """The gates; with `broken`, each with the failure that it is there for."""

    def planted(plant: Plant) -> contextlib.AbstractContextManager[Any]:
        return plant() if broken else contextlib.nullcontext()

    with planted(peers_dropped):
        wrong = wrong_prompts()
    yield _none("prompts that differ, of 9", wrong)
    with planted(own_as_a_peers):
        shown = own_answers_shown()
    yield _none("own answers among the solutions of others", shown)
    with planted(never_agreed):
        calls = [len(talk([[answer] * 3 for answer in answers])) for answers in ("445", "45", "4")]
        calls.append(len(talk([["4", "5", "4"], ["5", "5", "5"], ["4", "4", "4"]])))
    wanted = [3, 3, 3, 6]
    yield Gate(
        name="calls until all agree", figure=str(calls), threshold=f"exactly {wanted}", passed=calls == wanted
    )
    with planted(nobody_awaited):
        faults, kills = anyio.run(live, lives)
    told = ", ".join(f"{count} {what}" for what, count in sorted(faults.items())) or "no fault"
    yield Gate(
        name=f"{lives} lives, {kills} deaths",
        figure=told,
        threshold="same conversations, no turn paid twice, none begun while one before is open, every panel ends",
        passed=not faults,
    )


def _none(name: str, count: int) -> Gate:
    return Gate(name=name, figure=str(count), threshold="none", passed=count == 0)


# What is planted


def peers_dropped() -> contextlib.AbstractContextManager[Any]:
    """Nobody's reasoning is shown."""
    return patch.object(brainstorm, "_texts", lambda others, panel: ["" for _ in others])


def own_as_a_peers() -> contextlib.AbstractContextManager[Any]:
    """A member's own answer is among the solutions of others."""
    whole = brainstorm.hear

    def hear(turn: int) -> Any:
        replies = yield from whole(turn)
        return tuple((number + 100, reply) for number, reply in replies)

    return patch.object(brainstorm, "hear", hear)


def never_agreed() -> contextlib.AbstractContextManager[Any]:
    """Answers are never the same."""
    return patch.object(brainstorm, "_agree", lambda *_: False)


def nobody_awaited() -> contextlib.AbstractContextManager[Any]:
    """A member goes on although others have not answered."""
    return patch.object(_Question, "awaited", lambda self, member, turn: [])


# Prompts and calls, in one conversation each


def talk(rounds: Sequence[Sequence[str]], characters: int = 1200) -> list[tuple[int, int, str]]:
    """What each member is sent, as (member, round, prompt), while its answers are these."""
    question = Question(key="q", text=TEXT.format(number=3), answer="4", split="train")
    talks = [
        Conversation(
            strategy("brainstorm"),
            question,
            Settings(
                answer_format="number",
                panel=Panel(member=member, members=3, rounds=ROUNDS, peer_characters=characters),
            ),
        )
        for member in range(3)
    ]
    sent = []
    for turn in range(ROUNDS):
        replies = []
        for member, each in enumerate(talks):
            if each.request is None:
                continue
            sent.append((member, turn, each.request.messages[0].content))
            replies.append(
                (
                    member,
                    Completion(
                        text=said(member, turn, rounds[min(turn, len(rounds) - 1)][member]), usage=NOTHING
                    ),
                )
            )
            each.answer(replies[-1][1])
        for each in talks:
            if each.hears == turn:
                each.hear(tuple(replies))
    return sent


def said(member: int, turn: int, answer: str) -> str:
    """A member's answer; long enough to be cut."""
    return f"member {member} in round {turn}: " + "so " * 30 + f"\nAnswer: {answer}"


def wrong_prompts() -> int:
    """How many prompts of three members in three rounds are not what they should be."""
    question = TEXT.format(number=3)
    sent = talk([["4", "5", "6"]], CHARACTERS)
    wrong = abs(9 - len(sent))
    for member, turn, prompt in sent:
        if turn == 0:
            wanted = FIRST.format(question=question)
        else:
            last = [said(each, turn - 1, "456"[each]) for each in range(3)]
            one, two = ("…" + last[each][-CHARACTERS + 1 :] for each in range(3) if each != member)
            wanted = AGAIN.format(question=question, own=last[member], one=one, two=two)
        wrong += prompt != wanted
    return wrong


def own_answers_shown() -> int:
    """How many prompts show a member its own answer as another's."""
    return sum(
        f"member {member} in round" in prompt.partition("Others were asked")[2]
        for member, _, prompt in talk([["4", "5", "6"]])
    )
