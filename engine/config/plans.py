"""`[[plans]]`: what to sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from engine.config.base import Identity, Money, Name, NonNegative, Positive, Section
from engine.config.presets import PAPER, PresetName, for_plan, sets
from engine.strategies import STRATEGIES, Panel

if TYPE_CHECKING:
    StrategyName = str
else:
    StrategyName = Literal[tuple(STRATEGIES)]  # the registry decides which names there are


GIVEN = "given"
"""What the plan's own wording is called among its candidates."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A wording that is tried for a plan: its place (0: the plan's own) among how many."""

    of: str
    wording: str
    place: int
    candidates: int


def candidate_name(plan: str, wording: str) -> str:
    """The name of the plan that tries a wording for another one."""
    return f"{plan}.{wording}"


class PlanConfig(Section):
    """A plan: a number of rationales for every question of some tasks, from some teachers."""

    name: Annotated[Name, Identity.NO]
    """The plan's name. If a prompt or parameter changes under the same name, a new plan begins; samples are never mixed."""

    preset: Annotated[PresetName | None, Identity.NO] = Field(
        default=None,
        description="Defaults by name; keys written beside it win. paper: "
        f"{sets(PAPER.plan)}; with one rationale per question {sets(PAPER.single)}.",
    )

    tasks: Annotated[list[str], Identity.BY_CONTENT] = Field(default_factory=lambda: ["*"], min_length=1)
    """Names of tasks; `*` means all."""

    teachers: Annotated[list[str], Identity.BY_CONTENT] = Field(default_factory=lambda: ["*"], min_length=1)
    """Names of teachers that share the work by free capacity. `*` means all except the fallbacks, and except built-in teachers where there is another (`["*", "practice"]` includes one). When the teachers change, the samples of those that stay are kept, and only what is missing is asked."""

    share: Annotated[Literal["free", "by-cost"], Identity.NO] = "free"
    """How several `teachers` share the work. free: by free capacity, so the fastest does most. by-cost: a policy learns from the graded samples which teacher's correct samples are cheapest (without prices: who is right most often), and gives it most of the work, and the others at least a twentieth each, as long as all can be asked. The plan is then as fast as that teacher."""

    fallback_teachers: Annotated[list[str], Identity.BY_CONTENT] = Field(default_factory=list)
    """Names of teachers that take over, in this order, while every one of `teachers` is parked or out of budget."""

    strategy: Annotated[StrategyName, Identity.ALWAYS] = "zero-shot-cot"
    """How the teacher is asked; see the table of strategies below."""

    prompts: Annotated[Name | None, Identity.BY_CONTENT] = None
    """Name of a `[prompts.NAME]` whose templates replace the strategy's own. `paper` needs no table: the templates of the paper's public code, where they differ."""

    wordings: Annotated[list[Name], Identity.NO] = Field(default_factory=list, max_length=32)
    """Names of `[prompts.NAME]` (or `paper`): other wordings, compared with the plan's own on the dev questions of its tasks. Each is a plan of its own, `PLAN.NAME`, with one sample a question; after each round the worse half is asked nothing more, and the best one is compared with `PLAN.given` on dev questions that chose nothing. The result is in `coterie status`, the monitor and the report. It changes nothing by itself: to take a wording, write its name in `prompts`."""

    exemplars: Annotated[str | None, Identity.BY_CONTENT] = None
    """Worked examples of few-shot-cot: a file of rows with question, rationale and answer; `{task}` in its name is replaced by the task. Unset: the examples shipped with each builtin task."""

    needs: Annotated[Name | None, Identity.NO] = None
    """Name of an earlier plan of the same split. This plan waits until that one is done, and asks only the questions for which it has no correct rationale."""

    scores: Annotated[Name | None, Identity.BY_CONTENT] = None
    """With `strategy = "score"`: name of an earlier plan of the same split. This plan waits until that one is done, and scores each of its samples: the text is stored again, with the log-probabilities that this plan's teacher gives its tokens. For teachers that speak a dialect which can (`openai-completions`)."""

    split: Annotated[Literal["train", "dev", "test"], Identity.NO] = "train"
    """Which questions. Students learn from train; dev and test measure the teacher."""

    rationales: Annotated[int, Field(ge=1, le=100_000), Identity.NO] = 1
    """Rationales per question: the paper's D, the degree of reasoning diversity."""

    per_request: Annotated[int, Field(ge=1, le=32), Identity.BY_CONTENT] = 1
    """Ask for up to this many rationales of a question in one request (`n`), so that its prompt is paid once, for dialects that support it. Each is a sample of its own; missing ones are asked for again."""

    rounds: Annotated[int, Field(ge=1, le=16), Identity.BY_CONTENT] = 3
    """Of brainstorm: answers of each teacher at most. It ends earlier when all of them agree; every round is paid."""

    peer_characters: Annotated[int, Field(ge=50, le=100_000), Identity.BY_CONTENT] = 1200
    """Of brainstorm: how much of each other teacher's reasoning is shown to a teacher, in characters; the end is kept."""

    temperature: Annotated[float, Field(ge=0, le=2), Identity.ALWAYS] = 0.7
    """Sampling temperature; 0 is greedy."""

    top_p: Annotated[Annotated[float, Field(gt=0, le=1)] | None, Identity.ALWAYS] = None
    """Nucleus sampling; unset: the API's default."""

    seed: Annotated[NonNegative | None, Identity.ALWAYS] = None
    """Sent with each request as seed + replicate (of the first rationale, if the request asks for several), to APIs that accept a seed; unset: none is sent."""

    stop: Annotated[list[str], Identity.IF_SET] = Field(default_factory=list, max_length=4)
    """Strings that end a completion, such as `["\\nQ:"]` for base models; they are not part of it. At most 4, as APIs accept them."""

    logprobs: Annotated[int, Field(ge=0, le=20), Identity.IF_SET] = 0
    """n > 0: ask for the log-probability of each token of an answer and its n likeliest alternatives, and store them, for dialects that support it."""

    max_tokens: Annotated[Positive, Identity.ALWAYS] = 256
    """Longest rationale, in completion tokens."""

    answer_max_tokens: Annotated[Positive, Identity.ALWAYS] = 32
    """Longest answer of the second step of zero-shot-cot, and of zero-shot."""

    stop_after_correct: Annotated[NonNegative, Identity.NO] = 0
    """n > 0: stop asking a question once n of its rationales are correct; until then, ask for at most as many at a time as are missing."""

    stop_after_wrong: Annotated[NonNegative, Identity.NO] = 0
    """n > 0: stop asking a question whose first n rationales are all without a correct one. Most of them would never have one, and would take the largest number of requests."""

    max_rationales: Annotated[Annotated[int, Field(ge=1, le=100_000)] | None, Identity.NO] = None
    """More than `rationales`: questions with fewer than `stop_after_correct` (or 1) correct rationales are asked again, up to this many in total."""

    correct_per_task: Annotated[Positive | None, Identity.NO] = None
    """N: go through a task's questions, replicate by replicate, until N rationales are correct or each question has `max_rationales` (or `rationales`)."""

    weight: Annotated[float, Field(gt=0), Identity.NO] = 1.0
    """Share of the work relative to other plans (weighted round robin)."""

    budget_usd: Annotated[Money | None, Identity.NO] = None
    """Cap in dollars on the total cost of this plan on each task, over all daemon sessions."""

    _panel: tuple[str, ...] = PrivateAttr(default=())
    _candidate: Candidate | None = PrivateAttr(default=None)

    @property
    def panel(self) -> tuple[str, ...]:
        """The teachers of the panel, in order, of which this is one member's plan; empty for other plans."""
        return self._panel

    @property
    def seat(self) -> Panel | None:
        """The member's place in its panel; None for plans of no panel."""
        if not self._panel:
            return None
        return Panel(
            member=self._panel.index(self.teachers[0]),
            members=len(self._panel),
            rounds=self.rounds,
            peer_characters=self.peer_characters,
        )

    def member(self, name: str, teacher: str, panel: tuple[str, ...]) -> PlanConfig:
        """The plan of one member of a panel."""
        found = self.model_copy(update={"name": name, "teachers": [teacher]})
        found._panel = panel
        return found

    @property
    def candidate(self) -> Candidate | None:
        """The wording that this plan tries for another one; None for other plans."""
        return self._candidate

    def trying(self, candidate: Candidate, prompts: str | None) -> PlanConfig:
        """The plan on dev of one wording of this one."""
        found = self.model_copy(
            update={
                "name": candidate_name(self.name, candidate.wording),
                "prompts": prompts,
                "split": "dev",
                "wordings": [],
                "share": "free",
                "rationales": 1,
                "per_request": 1,
                "logprobs": 0,
                "stop_after_correct": 0,
                "stop_after_wrong": 0,
                "max_rationales": None,
                "correct_per_task": None,
            }
        )
        found._candidate = candidate
        return found

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, data: Any) -> Any:
        return for_plan(data)

    @property
    def most(self) -> int:
        """The most rationales of one question."""
        return max(self.rationales, self.max_rationales or 0)

    @property
    def base(self) -> int:
        """Rationales that every question gets before verdicts decide; all of them if verdicts never do."""
        found = self.most if self.correct_per_task else self.rationales
        if self.stop_after_correct:
            found = min(self.stop_after_correct, self.most)
        return min(found, self.stop_after_wrong or found)

    @property
    def want(self) -> int:
        """Correct rationales that complete a question; 0: any number."""
        if self.base == self.most:
            return 0
        again = self.rationales < self.most and not self.correct_per_task  # those without a correct one
        return self.stop_after_correct or (1 if again else self.most)

    @field_validator("stop")
    @classmethod
    def _no_empty_stop(cls, value: list[str]) -> list[str]:
        if "" in value:
            raise ValueError("an empty stop string would end every answer at once; remove it")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        strategy = STRATEGIES[self.strategy]
        if strategy.hinted and self.needs is None:
            raise ValueError(
                f"strategy {self.strategy} gives the answer away: set `needs` to the plan whose failures it is for"
            )
        if strategy.scores and self.scores is None:
            raise ValueError(
                f"strategy {strategy.name} scores what another plan wrote: set `scores` to that plan"
            )
        if not strategy.scores and self.scores is not None:
            able = ", ".join(each.name for each in STRATEGIES.values() if each.scores)
            raise ValueError(f"scores belongs to the strategy {able} (this is {self.strategy})")
        if strategy.scores:
            for name in (
                "needs",
                "stop_after_correct",
                "stop_after_wrong",
                "max_rationales",
                "correct_per_task",
            ):
                if getattr(self, name):
                    raise ValueError(
                        f"{name} has no effect: every sample of the plan {self.scores} is scored once; remove it"
                    )
            if self.per_request > 1 or self.rationales > 1:
                raise ValueError(
                    f"every sample of the plan {self.scores} is scored once: remove rationales and per_request"
                )
        if self.exemplars is not None and not strategy.needs_exemplars:
            fitting = ", ".join(each.name for each in STRATEGIES.values() if each.needs_exemplars)
            raise ValueError(f"exemplars belong to the strategy {fitting} (this is {self.strategy})")
        if text := self._not_in_panels() if strategy.panel else self._only_in_panels():
            raise ValueError(text)
        if text := self._no_wordings():
            raise ValueError(text)
        if self.max_rationales is not None and self.max_rationales < self.rationales:
            raise ValueError(
                f"max_rationales = {self.max_rationales} must not be below rationales = {self.rationales}"
            )
        if self.stop_after_wrong >= self.most:
            raise ValueError(
                f"stop_after_wrong = {self.stop_after_wrong} has no effect: a question has at most {self.most} rationales"
            )
        if self.share == "by-cost" and self.split != "train":
            raise ValueError(
                f'share = "by-cost" is for samples that students learn from: split = "{self.split}" measures teachers'
            )
        for name in self.fallback_teachers:
            if name == "*":
                raise ValueError('fallback_teachers: list their names in order; "*" is not allowed here')
            if name in self.teachers or self.fallback_teachers.count(name) > 1:
                raise ValueError(f"{name} occurs twice in teachers and fallback_teachers")
        return self

    def _no_wordings(self) -> str:
        """Why no other wordings can be tried for this plan."""
        if not self.wordings:
            return ""
        twice = sorted({name for name in self.wordings if self.wordings.count(name) > 1})
        if twice:
            return f"wordings: {twice[0]} is listed twice"
        if GIVEN in self.wordings:
            return f"wordings: {GIVEN} is the plan's own wording, which is always tried; leave it out"
        if self.prompts in self.wordings:
            return f"wordings: {self.prompts} is the plan's own wording (prompts), which is always tried; leave it out"
        if self.split != "train":
            return f"wordings are tried on dev for a plan that samples train, and this one samples {self.split}: remove them, or split"
        strategy = STRATEGIES[self.strategy]
        if strategy.panel or strategy.scores or self.needs is not None:
            why = "a panel's" if strategy.panel else "that scores" if strategy.scores else "with `needs`"
            return f"wordings do not go with a plan {why}: which wording is best is a question to a plan that asks by itself"
        return ""

    def _not_in_panels(self) -> str:
        """What a plan whose teachers hear each other cannot have."""
        for name, why in _NOT_IN_PANELS.items():
            if getattr(self, name) != type(self).model_fields[name].get_default(call_default_factory=True):
                return f"{name} does not go with strategy {self.strategy}: {why}; remove it"
        return ""

    def _only_in_panels(self) -> str:
        """Settings of panels in a plan without one."""
        for name in ("rounds", "peer_characters"):
            if getattr(self, name) != type(self).model_fields[name].default:
                fitting = ", ".join(each.name for each in STRATEGIES.values() if each.panel)
                return f"{name} belongs to the strategy {fitting} (this is {self.strategy})"
        return ""


_ALONE = "it could leave one teacher without a question that the others have begun"
_NOT_IN_PANELS = {
    "fallback_teachers": "a panel has one teacher a member, and another one would be another panel",
    "per_request": "each member is asked turn by turn",
    "needs": _ALONE,
    "stop_after_correct": _ALONE,
    "stop_after_wrong": _ALONE,
    "max_rationales": _ALONE,
    "correct_per_task": _ALONE,
    "logprobs": "log-probabilities are those of the first turn, and the rationale is the last one",
}
