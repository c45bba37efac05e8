"""What a strategy is, and how it is driven.

A strategy is a plain generator: it yields a `Request`, is sent the `Completion`, and returns a `Finished`. A strategy of a
panel also yields `AwaitPeers`, and is sent what its members said. It is not asynchronous because it waits for nothing itself: the daemon stores each completion when it arrives, in any order, and
sends it in. A generator cannot be pickled, but it is a pure function of its inputs. So after a crash between turns the
stored completions are replayed through a fresh one (`Conversation.resume`), and nothing is paid for twice.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from engine.grading.format import Phrases
from engine.grading.formats import FORMATS
from engine.grading.options import options_of
from engine.question import Question
from engine.strategies.first_formats import identity_of_phrase
from engine.strategies.templates import Template, fill
from engine.strategies.wording import PLAIN, Wording
from engine.teachers.messages import FINISH_REASONS, Completion, Message, Request

LAST_LETTER = "E"
"""Stands for the last option's letter in a question without options."""

UNKNOWN_FINISH = "unknown_finish"
"""The flag of a sample whose server ended the answer with a word of its own: it may be incomplete, so no student reads it."""
IN_REASONING = "answer_in_reasoning"
"""The flag of a sample whose text was empty and whose answer was found in the reasoning."""

MOST_STOPS = 4
"""Stop strings that APIs accept at most; the plan's come first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """A member's place in its panel, and the panel's rules."""

    member: int
    members: int
    rounds: int
    """Answers of a member at most."""
    peer_characters: int
    """How much of each other's reasoning a member reads; its end is kept."""


class SamplingParameters(Protocol):
    """What a strategy reads of a plan; `engine.config.PlanConfig` is one."""

    @property
    def temperature(self) -> float: ...  # noqa: D102
    @property
    def top_p(self) -> float | None: ...  # noqa: D102
    @property
    def max_tokens(self) -> int: ...  # noqa: D102
    @property
    def answer_max_tokens(self) -> int: ...  # noqa: D102
    @property
    def stop(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def logprobs(self) -> int: ...  # noqa: D102
    @property
    def seat(self) -> Panel | None: ...  # noqa: D102


@dataclass(kw_only=True, slots=True)
class Settings:
    """What a strategy may know besides the question."""

    answer_format: str
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int = 256
    answer_max_tokens: int = 32
    wording: Wording = PLAIN
    stop: tuple[str, ...] = ()
    logprobs: int = 0
    panel: Panel | None = None

    @classmethod
    def of(
        cls,
        plan: SamplingParameters,
        answer_format: str,
        wording: Wording = PLAIN,
    ) -> Settings:
        """The settings of a plan on a task of this answer format."""
        return cls(
            panel=plan.seat,
            wording=wording,
            answer_format=answer_format,
            temperature=plan.temperature,
            top_p=plan.top_p,
            max_tokens=plan.max_tokens,
            answer_max_tokens=plan.answer_max_tokens,
            stop=tuple(plan.stop),
            logprobs=plan.logprobs,
        )

    def request(self, messages: tuple[Message, ...], max_tokens: int) -> Request:
        """A request with these parameters."""
        return Request(
            messages=messages,
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=max_tokens,
            stop=self.stop,
            logprobs=self.logprobs,
        )


@dataclass(kw_only=True, slots=True)
class Finished:
    """A sample: what the student may learn, and what will be graded.

    `finish_reason` is the rationale's. `flags`: `truncated`, `content_filter`, `refusal`, `empty-rationale`,
    `answer-truncated`, `no-answer-line`, `hinted`, `unknown_finish`, `answer_in_reasoning`.
    """

    rationale: str
    answer: str
    finish_reason: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AwaitPeers:
    """Yielded in place of a request: wanted are the panel's replies to turn `turn` (from 0). Nothing is paid."""

    turn: int


PeerReplies = tuple[tuple[int, Completion], ...]
"""(member, completion) of all who answered a turn, by member, the hearer too if it did. Who was given up is not among them."""

Said = Request | AwaitPeers
Heard = Completion | PeerReplies
Turns = Generator[Said, Heard, Finished]


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn at its most, so that it can be priced before a sample begins."""

    request: Request
    """About the question, with nothing of earlier answers in its prompt."""
    repeats: int = 0
    """Completion tokens of the sample's own earlier answers that its prompt repeats."""
    quotes: int = 0
    """Characters of others' answers that its prompt repeats."""


def _no_later_turns(question: Question, settings: Settings) -> tuple[Turn, ...]:
    return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Strategy:
    """A way to ask a teacher. Each variant module of this package defines one; nothing else compares its name."""

    name: str
    documentation: str
    converse: Callable[[Question, Settings], Turns]
    """The conversation about one question."""

    later: Callable[[Question, Settings], tuple[Turn, ...]] = _no_later_turns
    """Every turn after the first that it may ask, at its most, in order."""

    templates: Mapping[str, Template]
    """Its templates by name, in the order in which its identity lists them."""

    phrase: Callable[[Phrases], str] | None = None
    """The phrase of an answer format that its requests contain; None: they contain none."""

    published: Mapping[str, str] = field(default_factory=dict)
    """Its templates in the public code of Ho et al. (2023) that differ from its own, for `prompts = "paper"`."""

    writes_rationale: bool = True
    """Whether its samples have a rationale that a student can learn from."""

    hinted: bool = False
    """Whether it shows the gold answer: it needs an earlier plan (`needs`), and a student reads it only on request."""

    scores: bool = False
    """Whether it scores what another plan's teacher wrote (`Question.written`) instead of asking for something."""

    needs_exemplars: bool = False
    """Whether its prompt shows worked examples."""

    answer_in: Callable[[Completion, str, str], str | None] | None = None
    """The answer in a member's reply to a question (its text) of an answer format; for strategies of panels."""

    panel: bool = False
    """Whether several teachers answer each question and hear each other: its plans are expanded, one for each member."""

    baseline_rank: int | None = None
    """Place among the baselines of the report, simplest first; None: it is not a baseline."""

    for_chat: str = ""
    """The strategy that asks a chat model for the same in one turn, where this one lets a model continue its own text."""

    shown_as: str = ""
    """How the report names the baseline; empty: by the strategy's name."""

    @property
    def report_name(self) -> str:
        """How the report names the baseline."""
        return self.shown_as or self.name

    @property
    def stored_facts(self) -> dict[str, bool]:
        """What readers of `state.db` need to know of it; stored with each plan, under `facts` of its settings."""
        return {"hinted": self.hinted, "writes_rationale": self.writes_rationale}

    def identity(self, answer_format: str) -> str:
        """The part of a plan's fingerprint that the strategy decides: its templates and the phrase for this format."""
        lines = [template.text for template in self.templates.values() if template.text is not None]
        if self.phrase is not None:
            lines += identity_of_phrase(FORMATS[answer_format], self.phrase)
        return "\n".join((self.name, *lines))


class Conversation:
    """One strategy applied to one question: either `request` is the next request, or it `hears`, or it has `finished`."""

    __slots__ = ("_turns", "finished", "hears", "received", "request", "turn")

    def __init__(self, strategy: Strategy, question: Question, settings: Settings) -> None:
        self.finished: Finished | None = None
        self.request: Request | None = None
        self.hears: int | None = None  # the turn whose replies of the panel it waits for
        self.turn = 0  # answers received so far
        self.received: Completion | None = None  # the last of them
        self._turns = strategy.converse(question, settings)
        self._advance(None)

    @classmethod
    def resume(
        cls, strategy: Strategy, question: Question, settings: Settings, completions: Iterable[Completion]
    ) -> Conversation:
        """A conversation after the answers that are already stored, in the order of their turns."""
        conversation = cls(strategy, question, settings)
        for completion in completions:
            conversation.answer(completion)
        return conversation

    def answer(self, completion: Completion) -> None:
        """Takes the answer to `request`.

        Raises:
            ValueError: no answer is expected: the conversation has finished, or waits for its peers.
        """
        if self.request is None:
            why = "has finished" if self.finished is not None else "waits for its peers"
            raise ValueError(f"this conversation {why}: no answer is expected")
        self.turn += 1
        self.received = completion
        self._advance(completion)

    def hear(self, replies: PeerReplies) -> None:
        """Takes what the panel said in the turn that it `hears`.

        Raises:
            ValueError: the conversation waits for nobody.
        """
        if self.hears is None:
            raise ValueError("this conversation waits for nobody")
        self._advance(replies)

    def _advance(self, sent: Heard | None) -> None:
        self.request = self.hears = None
        try:
            said = next(self._turns) if sent is None else self._turns.send(sent)
        except StopIteration as stop:
            self.finished = stop.value
            return
        if isinstance(said, Request):
            self.request = said
        else:
            self.hears = said.turn


def asking(text: str, settings: Settings, max_tokens: int, *stop: str) -> Request:
    """A request of one message, with the plan's sampling parameters; `stop` adds the strategy's own stop strings."""
    request = settings.request((Message("user", text),), max_tokens)
    return replace(request, stop=(*request.stop, *stop)[:MOST_STOPS]) if stop else request


def ask(text: str, settings: Settings, max_tokens: int, *stop: str) -> Generator[Said, Heard, Completion]:
    """Sends a request of one message and gives back its completion; with `yield from`."""
    received = yield asking(text, settings, max_tokens, *stop)
    assert isinstance(received, Completion)
    return received


def hear(turn: int) -> Generator[Said, Heard, PeerReplies]:
    """Waits for what the panel said in a turn (from 0) and gives it back; with `yield from`."""
    replies = yield AwaitPeers(turn)
    assert not isinstance(replies, Completion)
    return replies


def trigger(question: Question, settings: Settings, pick: Callable[[Phrases], str]) -> str:
    """The phrase that draws the answer: the configured one, or the answer format's."""
    letters = list(options_of(question.text))
    phrase = settings.wording.trigger
    if phrase is None:
        phrase = pick(FORMATS[settings.answer_format].phrases_for(bool(letters)))
    return fill(phrase, last=letters[-1] if letters else LAST_LETTER)


def said_in(completion: Completion) -> tuple[str, bool]:
    """The text of a completion, or its reasoning where a server put all of the answer there; and which it is."""
    in_reasoning = (
        not completion.text.strip()
        and completion.reasoning_kind == "full"
        and completion.finish_reason in ("stop", "unknown")
    )
    return (completion.reasoning or "", True) if in_reasoning else (completion.text, False)


def rationale_flags(completion: Completion, rationale: str) -> list[str]:
    """The flags that a rationale's completion gives reason for."""
    flags = []
    if completion.finish_reason == "length":
        flags.append("truncated")
    else:
        flags += finish_flags(completion)
    if not rationale:
        flags.append("empty-rationale")
    return flags


def finish_flags(completion: Completion) -> list[str]:
    """The flag of a completion that is not a whole answer, whatever its text is for."""
    if completion.finish_reason in ("content_filter", "refusal"):
        return [completion.finish_reason]
    return [] if completion.finish_reason in FINISH_REASONS else [UNKNOWN_FINISH]
