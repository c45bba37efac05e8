"""Socratic CoT: the student asks itself sub-questions and solves them, turn by turn.

Source: Shridhar et al. (2023), Distilling Reasoning Capabilities into Smaller Language Models. A row is one question with
marked turns, so that a solution is learned after all turns before it, and each of them once:

    question | [Plan: …] | Sub-question: q1 | Solution: s1 | … | Sub-question: done | Answer: a

One model takes all roles, or an asker and a solver learn their own turns of the same rows (`students.part`). The guidance is
a turn that the asker writes itself before its first sub-question. That there is none by default is our choice, not a
setting of the paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.decomposition import Step, equations, read_steps
from engine.methods.base import (
    TRAINED,
    Asking,
    RowSettings,
    StudentTurns,
    TrainingQuestion,
    TrainRow,
    Turn,
)
from engine.methods.fine_tune_cot import FineTuneCot

PLAN, ASK, SOLVE, ANSWER = "plan", "ask", "solve", "answer"
ROLES = {PLAN: "Plan:", ASK: "Sub-question:", SOLVE: "Solution:", ANSWER: "Answer:"}
DONE = "done"
"""The asker's last turn."""
MOST = 12
"""Sub-questions of a conversation at most."""
NO_STEPS = "not in sub-questions"
NO_END = f"more than {MOST} sub-questions"


@dataclass(frozen=True, kw_only=True)
class Socratic(FineTuneCot):
    """Question to sub-questions, their solutions and the answer."""

    def unfit(self, rationale: str) -> str | None:
        """Texts that are not lines of sub-questions and solutions, or more than a conversation has turns for."""
        steps = read_steps(rationale)
        if steps is None:
            return NO_STEPS
        return NO_END if len(steps) > MOST else None

    def rows(self, questions: Sequence[TrainingQuestion], settings: RowSettings) -> Iterator[TrainRow]:
        """One row per rationale that is in sub-questions, and those of `mix_answers`."""
        for row in super().rows(questions, settings):
            steps = read_steps(row.rationale or "")
            if row.rationale is None:
                yield row
            elif steps is not None and len(steps) <= MOST:
                turns = _turns(steps, row.answer, settings.guidance)
                yield row.model_copy(update={"turns": turns, "part": settings.part})

    def converse(self, question: str, guidance: str) -> StudentTurns:
        """Sub-questions and solutions in turn, until the asker is done or repeats itself; then the answer."""
        turns: list[Turn] = []

        def write(role: str) -> Asking:
            return Asking(question, role, tuple(turns))

        if guidance != "none":
            turns.append((PLAN, _line((yield write(PLAN)))))
        seen: set[str] = set()
        while len(seen) < MOST:
            asked = _line((yield write(ASK)))
            if not asked or asked.casefold() in (DONE, *seen):
                break
            seen.add(asked.casefold())
            turns.append((ASK, asked))
            turns.append((SOLVE, _line((yield write(SOLVE)))))
        turns.append((ASK, DONE))
        turns.append((ANSWER, _line((yield write(ANSWER)))))
        return tuple(turns)

    def target(self, row: TrainRow) -> str:
        """The turns in lines, or the line of the answer alone."""
        return self.told(row.turns or ((ANSWER, _line(row.answer)),))

    def parse(self, text: str) -> str | None:
        """What follows the mark in the last line."""
        last = text.rstrip().rpartition("\n")[2].strip()
        if not last.startswith(ROLES[ANSWER]):
            return None
        return last.removeprefix(ROLES[ANSWER]).strip() or None


def _turns(steps: Sequence[Step], answer: str, guidance: str) -> tuple[Turn, ...]:
    plan = {"steps": str(len(steps)), "equations": "; ".join(_sums(steps)) or "none"}
    return (
        *(((PLAN, plan[guidance]),) if guidance in plan else ()),
        *(turn for step in steps for turn in ((ASK, step.question), (SOLVE, step.solution))),
        (ASK, DONE),
        (ANSWER, _line(answer)),
    )


def _sums(steps: Sequence[Step]) -> list[str]:
    return [each for step in steps for each in equations(step.solution)]


def _line(text: str) -> str:
    return " ".join(text.split())


METHOD = Socratic(
    name="socratic",
    doc="question to sub-questions and their solutions, turn by turn, then the answer (samples of the strategy socratic)",
    title="Socratic CoT (Shridhar et al. 2023)",
    teaches="sub-questions, solutions and answers",
    writes=" … ".join(f"{mark} {{{role}}}" for role, mark in ROLES.items() if role != PLAN),
    rank=3,
    reads_samples=True,
    labels=("gold", "majority", "teacher"),
    axes=TRAINED | {"teacher", "rationales", "filter", "sampling", "temperature", "max_tokens"},
    train_at=("complete",),
    no_answer=f"no answer: the conversation ends without {ROLES[ANSWER]!r}",
    roles=ROLES,
    parts={"ask": (PLAN, ASK), "solve": (SOLVE, ANSWER)},
    guides=("none", "steps", "equations"),
)
