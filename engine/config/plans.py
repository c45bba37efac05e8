"""`[[plans]]`: what to sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from engine.config.base import Identity, Money, Name, NonNegative, Positive, Section
from engine.strategies import STRATEGIES

if TYPE_CHECKING:
    StrategyName = str
else:
    StrategyName = Literal[tuple(STRATEGIES)]  # the registry decides which names there are


class PlanConfig(Section):
    """A plan: so many rationales for every question of some tasks, from some teachers."""

    name: Annotated[Name, Identity.NO]
    """The plan's name. A changed prompt or parameter under the same name is a new plan, never a mixture."""

    tasks: Annotated[list[str], Identity.BY_CONTENT] = Field(default_factory=lambda: ["*"], min_length=1)
    """Names of tasks; `*` stands for all."""

    teachers: Annotated[list[str], Identity.BY_CONTENT] = Field(default_factory=lambda: ["*"], min_length=1)
    """Names of teachers that share the work by free capacity; `*` stands for all but the fallbacks, and then a new teacher changes the plan."""

    fallback_teachers: Annotated[list[str], Identity.BY_CONTENT] = Field(default_factory=list)
    """Names of teachers that take over, the first one that can, while each of `teachers` is parked or out of its budget."""

    strategy: Annotated[StrategyName, Identity.ALWAYS] = "zero-shot-cot"
    """zero-shot-cot (the paper's two steps), zero-shot-cot-chat (one turn, last line "Answer: …"), few-shot-cot (worked
    examples first), zero-shot (the answer alone: a baseline), rationalize (the gold answer as a hint: needs `needs`)."""

    prompts: Annotated[Name | None, Identity.BY_CONTENT] = None
    """Name of a `[prompts.NAME]` whose templates stand in for the strategy's own."""

    exemplars: Annotated[str | None, Identity.BY_CONTENT] = None
    """Worked examples of few-shot-cot: a file of rows with question, rationale and answer, `{task}` in its name standing for the task. Unset: those shipped with each builtin task."""

    needs: Annotated[Name | None, Identity.NO] = None
    """Name of an earlier plan of the same split: this one waits until that is done, and asks only the questions of which it has no correct rationale."""

    split: Annotated[Literal["train", "dev", "test"], Identity.NO] = "train"
    """Which questions. Students learn from train; dev and test measure the teacher."""

    rationales: Annotated[int, Field(ge=1, le=100_000), Identity.NO] = 1
    """Rationales a question: the paper's D, the degree of reasoning diversity."""

    per_request: Annotated[int, Field(ge=1, le=32), Identity.BY_CONTENT] = 1
    """Ask for up to so many rationales of a question in one request (`n`), so its prompt is paid once; for openai-chat and openai-completions. Each counts as a sample of its own; those that do not come are asked for again."""

    temperature: Annotated[float, Field(ge=0, le=2), Identity.ALWAYS] = 0.7
    """Sampling temperature; 0 is greedy."""

    top_p: Annotated[Annotated[float, Field(gt=0, le=1)] | None, Identity.ALWAYS] = None
    """Nucleus sampling; unset: the API's default."""

    seed: Annotated[NonNegative | None, Identity.ALWAYS] = None
    """Sent with each request as seed + replicate (of the first rationale, where it asks for several), to APIs that know a seed; unset: none is sent."""

    stop: Annotated[list[str], Identity.IF_SET] = Field(default_factory=list, max_length=4)
    """Strings that end a completion, such as `["\\nQ:"]` for base models; they are not part of it. At most 4, as APIs take them."""

    logprobs: Annotated[int, Field(ge=0, le=20), Identity.IF_SET] = 0
    """n > 0: ask for the log-probability of each token of an answer and its n likeliest alternatives, and keep them; for openai-chat and openai-completions."""

    max_tokens: Annotated[Positive, Identity.ALWAYS] = 256
    """Longest rationale, in completion tokens."""

    answer_max_tokens: Annotated[Positive, Identity.ALWAYS] = 32
    """Longest answer of the second step of zero-shot-cot, and of zero-shot."""

    stop_after_correct: Annotated[NonNegative, Identity.NO] = 0
    """n > 0: ask no more about a question once n of its rationales are correct; until then, at most as many at a time as are missing."""

    max_rationales: Annotated[Annotated[int, Field(ge=1, le=100_000)] | None, Identity.NO] = None
    """Above `rationales`: questions with fewer than `stop_after_correct` (or 1) correct ones are asked again, up to so many in all."""

    correct_per_task: Annotated[Positive | None, Identity.NO] = None
    """N: go through a task's questions, replicate by replicate, until N rationales are correct, or `max_rationales` (or `rationales`) of each are taken."""

    weight: Annotated[float, Field(gt=0), Identity.NO] = 1.0
    """Share of the work against other plans (weighted round robin)."""

    budget_usd: Annotated[Money | None, Identity.NO] = None
    """Cap in dollars over all that this plan costs on each task, over all starts."""

    @property
    def most(self) -> int:
        """Rationales of a question at most."""
        return max(self.rationales, self.max_rationales or 0)

    @property
    def base(self) -> int:
        """Rationales that every question gets before its verdicts count; all, where they never do."""
        if self.stop_after_correct:
            return min(self.stop_after_correct, self.most)
        return self.most if self.correct_per_task else self.rationales

    @property
    def want(self) -> int:
        """Correct rationales with which a question is done; 0: any number."""
        return 0 if self.base == self.most else self.stop_after_correct or 1

    @field_validator("stop")
    @classmethod
    def _some(cls, value: list[str]) -> list[str]:
        if "" in value:
            raise ValueError("an empty stop string would end every answer at once: remove it")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        strategy = STRATEGIES[self.strategy]
        if strategy.hinted and self.needs is None:
            raise ValueError(
                f"strategy {self.strategy} gives the answer away: set `needs` to the plan whose failures it is for"
            )
        if self.exemplars is not None and not strategy.needs_exemplars:
            fitting = ", ".join(each.name for each in STRATEGIES.values() if each.needs_exemplars)
            raise ValueError(f"exemplars belong to the strategy {fitting} (this is {self.strategy})")
        if self.max_rationales is not None and self.max_rationales < self.rationales:
            raise ValueError(f"max_rationales is {self.max_rationales}, below rationales = {self.rationales}")
        for name in self.fallback_teachers:
            if name == "*":
                raise ValueError('fallback_teachers: name them, in their order ("*" stands for none)')
            if name in self.teachers or self.fallback_teachers.count(name) > 1:
                raise ValueError(f"{name} stands twice among teachers and fallback_teachers")
        return self
