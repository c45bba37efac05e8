"""A prompt of discrete tokens that is searched for (AutoPrompt): the student's weights stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from engine.config.base import Identity, Positive, Section
from engine.config.derived import DerivedConfig
from engine.students.operations.base import Made, Operation, Work
from engine.students.spec import SourceStudent

if TYPE_CHECKING:
    from engine.students.prompt_search import State

KEPT = "search"


class PromptRule(Section):
    """`prompt` of `[[derived]] make = "prompt"`."""

    tokens: Annotated[int, Field(gt=0, le=64), Identity.ALWAYS] = 6
    """Length of the prompt."""

    candidates: Annotated[Positive, Identity.ALWAYS] = 32
    """Tokens that are tried at a place in a step."""

    steps: Annotated[Positive, Identity.ALWAYS] = 200
    """Steps: each looks at one place of the prompt."""

    batch: Annotated[Positive, Identity.ALWAYS] = 32
    """Rows that the gradient is of, and other rows that candidates are tried on."""

    search: Annotated[Literal["gradient", "random"], Identity.ALWAYS] = "gradient"
    """gradient: candidates are those that the gradient at the token's embedding ranks first. random: any, and as many more as a gradient costs; on small vocabularies it is as good."""


class PromptConfig(DerivedConfig):
    """`[[derived]] make = "prompt"`: a text before each question."""

    make: Annotated[Literal["prompt"], Identity.ALWAYS] = "prompt"
    """The operation. `of` names one student; there is a prompt for each of its tasks. Nothing can start from the result: its weights are those of the student."""

    prompt: Annotated[PromptRule, Identity.ALWAYS] = Field(default_factory=PromptRule)
    """How the prompt is searched for."""

    calibration: Annotated[Positive, Identity.ALWAYS] = 256
    """Rows that the student has learned, on which the loss is measured, drawn by `seed`."""


@dataclass(frozen=True, kw_only=True)
class Prompt(Operation[PromptConfig]):
    """Exchanges tokens of a prompt one at a time."""

    def said(self, settings: PromptConfig) -> Sequence[str]:
        """How it was searched for."""
        rule = settings.prompt
        return [f"{rule.search} search", f"{rule.tokens} tokens", f"{rule.steps} steps"]

    def make(self, sources: Sequence[SourceStudent], settings: PromptConfig, work: Work) -> Made:
        """Each step is kept, so a killed run goes on behind it. The prompt is never worse than the one at the start."""
        from engine.students.exported_student import load_copy
        from engine.students.prompt_search import PromptSearch, State, search

        [source], rule = sources, settings.prompt
        rows = work.rows(source, settings.calibration)
        model = load_copy(Path(source.directory), work.device)
        searching = PromptSearch(
            model,
            rows,
            tokens=rule.tokens,
            candidates=rule.candidates,
            batch=rule.batch,
            ranked=rule.search == "gradient",
            seed=work.seed,
        )
        start = searching.start()
        kept = work.kept(KEPT)
        begun = start if kept is None else State(tuple(kept["tokens"].tolist()), *kept["counts"].tolist())
        state = search(searching, begun, rule.steps, lambda now: _keep(now, work), work.check)
        losses = {
            "loss_without": searching.bare(),
            "loss_start": searching.loss(start.tokens),
            "loss": searching.loss(state.tokens),
        }
        best = state
        if losses["loss"] > losses["loss_start"]:
            work.note("the search ended above where it began: the prompt of the start is kept")
            best, losses["loss"] = start, losses["loss_start"]
        if losses["loss"] > losses["loss_without"]:
            work.note(
                f"the prompt does not help: the loss is {losses['loss']:.4f} with it and {losses['loss_without']:.4f} without"
            )
        text = searching.text(best.tokens)
        figures = {
            **losses,
            "forward_passes": state.passes,
            "exchanged": state.accepted,
            "rows": len(rows.tokens),
        }
        return Made(
            model=load_copy(Path(source.directory), work.device),
            figures={"prompt": text, **figures},
            prompt=text,
        )


def _keep(state: State, work: Work) -> None:
    import torch

    counts = torch.tensor([state.step, state.passes, state.accepted])
    work.keep(KEPT, {"tokens": torch.tensor(state.tokens), "counts": counts})


OPERATION = Prompt(
    name="prompt",
    title="a searched prompt",
    documentation="the same student with a text of a few tokens before each question, which is searched for by gradient (AutoPrompt; Ma et al. 2021"
    " compare it): it is in `prompt.json` and in the chat template",
    settings=PromptConfig,
    reads_weights=True,
    needs="any",
    most=1,
    no_source="has the weights of the student that it was made from: name that",
)
