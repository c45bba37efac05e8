"""Whether the first answers of a teacher to a plan are of any use: if none is, the plan is held and says what to set. Pure."""

from __future__ import annotations

from collections import Counter

from engine.config import PlanConfig
from engine.strategies import STRATEGIES
from engine.teachers.failures import Failure
from engine.teachers.messages import Completion

FIRST = 20
"""Answers after which a plan is held if none of them is of use."""
UNSAID = 5
"""Questions rejected without a reason after which their plan is at fault, as long as none of it was answered."""


class FirstAnswers:
    """The first answers of one teacher to one plan."""

    __slots__ = ("_all_reasoning", "_done", "_faults", "_last", "_refused", "_rejected", "answered")

    def __init__(self) -> None:
        self.answered = False
        """Whether any request of the plan was answered by the teacher."""
        self._faults: Counter[str] = Counter()
        self._last = ""
        self._all_reasoning = True
        self._done = False
        self._refused: set[str] = set()
        self._rejected: Counter[str] = Counter()

    def accept(self) -> None:
        """The user resumed the plan as it is: it is not held for its first answers again."""
        self._done = True
        self._rejected.clear()

    def completed(self, plan: PlanConfig, turn: int, completion: Completion) -> str:
        """An answer; why the plan is to be held, if it shows that.

        Only a first turn that writes a rationale counts: a short answer is often cut on purpose.
        """
        self.answered = True
        if self._done or turn:
            return ""
        empty = not completion.text.strip() and completion.finish_reason not in ("content_filter", "refusal")
        cut = completion.finish_reason == "length" and (empty or STRATEGIES[plan.strategy].writes_rationale)
        if not cut and not empty:
            self._done = True
            return ""
        usage = completion.usage
        self._all_reasoning &= 0 < usage.completion_tokens <= usage.reasoning_tokens
        return self._count(plan, "cut" if cut else "empty", "")

    def failed(self, plan: PlanConfig, turn: int, question: str, failure: Failure) -> str:
        """A request without a completion; the same. Of refusals, each question counts once."""
        if self._done or turn:
            return ""
        if failure.cut:
            self._all_reasoning = False
            return self._count(plan, "cut", failure.reason)
        if failure.kind == "malformed" and failure.usage is not None:
            return self._count(plan, "unreadable", failure.reason)
        if failure.kind == "permanent" and failure.blame == "request" and question not in self._refused:
            self._refused.add(question)
            return self._count(plan, "refused", failure.reason)
        return ""

    def rejected(self, question: str, reason: str) -> str:
        """A request was rejected without a reason that is its own; why the plan is to be held, if it shows that."""
        self._rejected[question] += 1
        count = self._rejected.total()
        if self.answered or (len(self._rejected) < UNSAID and count < 2 * UNSAID):
            return ""
        self._rejected.clear()
        return f"{count} requests in a row were rejected, and none was answered: {reason}"

    def _count(self, plan: PlanConfig, fault: str, reason: str) -> str:
        self._faults[fault] += 1
        self._last = reason or self._last
        total = self._faults.total()
        if total < FIRST:
            return ""
        self._done = True
        worst, count = self._faults.most_common(1)[0]
        said = f"{count} of {total}"
        if worst == "cut":
            why = " by reasoning alone" if self._all_reasoning else ""
            name = "max_tokens" if STRATEGIES[plan.strategy].writes_rationale else "answer_max_tokens"
            return f"{said} answers were cut at {name} = {getattr(plan, name)}{why}: raise {name}"
        if worst == "empty":
            return f"{said} answers were empty: look at one of them (`coterie tui`), and at model, base_url and dialect"
        if worst == "refused":
            return f"{count} requests in a row were rejected: {self._last}"
        return f"{said} answers could not be read: {self._last}; check dialect and base_url"
