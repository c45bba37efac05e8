"""The kinds of prompts: for a rationale, for the answer that follows from a given rationale, or for both in one turn.

A kind is recognised by the form of the prompt, whatever question it contains.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

PromptKind = Literal["rationale", "final", "chat", "shots", "direct", "hinted", "steps", "peers"]
"""`rationale`: the paper's first step. `final`: its second step, the answer that follows from the rationale above. `chat`: a
rationale and a last line `Answer: …`. `shots`: both in the form of the worked examples above. `direct`: the answer alone.
`hinted`: like `chat`, with the correct answer in the prompt. `steps`: lines of sub-questions and solutions, and a last
line `Answer: …`. `peers`: like `chat`, with the solutions of others."""

_LAST_LINE = re.compile(r"(?:^|\n)(?P<line>[^\n]*\banswer\b[^\n]{0,80}\bis:?)\s*$", re.IGNORECASE)
_CHAT = re.compile(r"\banswer:", re.IGNORECASE)
_HINT = re.compile(r"\bcorrect answer is\b", re.IGNORECASE)
_STEPS = re.compile(r"sub-question \*\* solution", re.IGNORECASE)
_PEERS = re.compile(
    r"\n\nYour last answer:\n.*?\n\nOthers were asked the same question\. Their solutions:\n\n", re.DOTALL
)
_SOLUTION = re.compile(r"(?:^|\n\n)Solution \d+:\n")
_AFTER_PEERS = "\n\nSolutions can be wrong"
_SHOT = re.compile(r"(?:^|\n)Q:")
_BARE = re.compile(r"\n\nA:\s*$")
"""The end of the paper's zero-shot prompt, which asks for the answer and names none."""
_CUE = re.compile(r"^\s*(?:A:)?\s*(?:Let's think step by step\.?)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt's kind, and the text that contains its question and any given rationale."""

    kind: PromptKind
    body: str
    solutions: tuple[str, ...] = ()


def flatten(messages: Iterable[str]) -> str:
    """The messages of a conversation as one text."""
    return "\n".join(messages)


def classify(text: str) -> Prompt:
    """The kind of a prompt."""
    if peers := _PEERS.search(text):
        told = text[peers.end() :].partition(_AFTER_PEERS)[0]
        return Prompt("peers", text[: peers.start()], tuple(filter(None, _SOLUTION.split(told))))
    last = _LAST_LINE.search(text)
    if last:
        body = text[: last.start()]
        return Prompt("direct" if last["line"].lstrip().startswith("A:") else "final", body)
    if len(_SHOT.findall(text)) > 1 and "answer is" in text:
        return Prompt("shots", text)
    if _BARE.search(text) and len(_SHOT.findall(text)) == 1:
        return Prompt("direct", text)
    if _STEPS.search(text):
        return Prompt("steps", text)
    if _HINT.search(text) and _CHAT.search(text):
        return Prompt("hinted", text)
    return Prompt("chat" if _CHAT.search(text) else "rationale", text)


def given_rationale(after_question: str) -> str:
    """The rationale in the text after the question, without the trigger phrase."""
    return _CUE.sub("", after_question, count=1).strip()
