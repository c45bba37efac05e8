"""AutoPrompt (Shin et al. 2020): tokens before a question are exchanged one at a time, if that lowers the loss of the answers.

Candidates are ranked by the gradient at the token's embedding (what a first-order step would gain), and tried on other rows than those of the
gradient. The prompt is a text: only tokens that are read back as themselves are candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch

from engine.errors import JobFailed
from engine.forms import PromptedForm
from engine.forms._prompted import behind
from engine.students.operations.base import LearnedRows
from engine.students.token_rows import TokenRow, tokenize
from engine.students.tokenizer import pad_id

PROBE = "What is it?"
TRIES = 1000
GRADIENT_PASSES = 3
"""Forward passes that a gradient counts for: one forward, and a backward pass of twice its work."""


@dataclass(frozen=True, slots=True)
class State:
    """Where a search is."""

    tokens: tuple[int, ...]
    step: int = 0
    passes: int = 0
    """Forward passes of a batch so far."""
    accepted: int = 0


class PromptSearch:
    """A search for a prompt of a student, on rows that it has learned. Each step is a function of the seed and the state before it."""

    def __init__(
        self,
        model: Any,
        rows: LearnedRows,
        *,
        tokens: int,
        candidates: int,
        batch: int,
        ranked: bool,
        seed: int,
    ) -> None:
        self._model, self._rows = model.eval().requires_grad_(requires_grad=False), rows
        self._length, self._candidates, self._batch = tokens, candidates, batch
        self._ranked, self._seed = ranked, seed
        self._pad = pad_id(rows.tokenizer)
        self._own = list(range(len(rows.texts)))
        self.allowed = _allowed(rows.tokenizer, model.get_input_embeddings().weight.shape[0])

    def start(self) -> State:
        """Tokens drawn by the seed.

        Raises:
            JobFailed: the tokenizer has no tokens that can be written as text.
        """
        draw = Random(f"{self._seed} start")
        for _ in range(TRIES if self.allowed else 0):
            tokens = tuple(draw.choice(self.allowed) for _ in range(self._length))
            if self.stands(tokens) is not None:
                return State(tokens)
        raise JobFailed(
            f"no {self._length} tokens of the student's tokenizer are read back as themselves: choose fewer prompt.tokens"
        )

    def step(self, state: State) -> State:
        """Tries candidates at one place of the prompt, and keeps the best if it is better on other rows."""
        draw = Random(f"{self._seed} {state.step}")
        place = state.step % self._length
        chosen = draw.sample(self._own, min(2 * self._batch, len(self._own)))
        first, second = chosen[: self._batch], chosen[-self._batch :]
        passes = 1
        if self._ranked:
            order = self.ranking(state.tokens, place, first)
            passes += GRADIENT_PASSES
            found = self.standing(state.tokens, place, order, self._candidates)
        else:  # as many passes
            order = draw.sample(self.allowed, len(self.allowed))
            found = self.standing(state.tokens, place, order, self._candidates + GRADIENT_PASSES)
        best, least = state.tokens, self.loss(state.tokens, second)
        for tokens in found:
            passes += 1
            if (tried := self.loss(tokens, second)) < least:
                best, least = tokens, tried
        return State(best, state.step + 1, state.passes + passes, state.accepted + (best != state.tokens))

    def ranking(self, tokens: Sequence[int], place: int, rows: Sequence[int]) -> list[int]:
        """The allowed tokens by what the gradient says of them at a place, the best first.

        Args:
            tokens: of the prompt.
            place: which of them is to be exchanged.
            rows: which rows the gradient is of.
        """
        learned, at = self._prompted(tokens, rows)
        embeddings = self._model.get_input_embeddings()
        read: list[torch.Tensor] = []

        def keep(_layer: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
            output = output.detach().requires_grad_()
            read.append(output)
            return output

        shared = [
            part for part in self._model.modules() if getattr(part, "weight", None) is embeddings.weight
        ]
        handles = [
            part.register_forward_hook(keep) for part in shared if isinstance(part, torch.nn.Embedding)
        ]
        try:
            with torch.enable_grad():
                self._mean_loss(learned).backward()
        finally:
            for handle in handles:
                handle.remove()
        gradient = read[0].grad  # an encoder-decoder reads its prompt first
        assert gradient is not None, "the loss depends on the prompt"
        slope = gradient[:, at + place].sum(0)
        gain = embeddings.weight[self.allowed].float() @ slope.float()
        return [self.allowed[index] for index in gain.argsort(stable=True).tolist()]

    def loss(self, tokens: Sequence[int], rows: Sequence[int] | None = None) -> float:
        """The mean loss of the learned tokens of rows behind a prompt, in nats; rows None: all of them, in batches."""
        wanted = self._own if rows is None else rows
        total, count = 0.0, 0
        for begin in range(0, len(wanted), self._batch):
            learned, _ = self._prompted(tokens, wanted[begin : begin + self._batch])
            size = sum(row.supervised for row in learned)
            with torch.inference_mode():
                total += float(self._mean_loss(learned)) * size
            count += size
        return total / count

    def text(self, tokens: Sequence[int]) -> str:
        """The prompt as it is written."""
        return _text(self._rows.tokenizer, tokens)

    def bare(self) -> float:
        """The mean loss of all rows without a prompt, in nats."""
        return self.loss(())

    def _mean_loss(self, learned: Sequence[TokenRow]) -> torch.Tensor:
        batch = self._rows.architecture.collate(learned, self._pad)
        device = next(self._model.parameters()).device
        inputs = {name: torch.from_numpy(value).to(device) for name, value in batch.inputs.items()}
        logits = self._rows.architecture.logits(self._model, inputs)
        kept = logits.reshape(-1, logits.shape[-1])[torch.from_numpy(batch.keep).to(device)].float()
        return torch.nn.functional.cross_entropy(kept, torch.from_numpy(batch.targets).to(device))

    def _prompted(self, tokens: Sequence[int], rows: Sequence[int]) -> tuple[list[TokenRow], int]:
        """Rows behind a prompt, and where in them it begins."""
        texts = [self._rows.texts[row] for row in rows]
        if not tokens:
            return tokenize(self._rows.form, texts, max_length=10**9)[0], 0
        form = PromptedForm(self._rows.form, self.text(tokens))
        at = self.stands(tokens)
        assert at is not None, "only prompts that stand are tried"
        return tokenize(form, texts, max_length=10**9)[0], at

    def standing(
        self, tokens: tuple[int, ...], place: int, order: Sequence[int], count: int
    ) -> list[tuple[int, ...]]:
        """The first prompts with another token at a place that are read back as themselves."""
        found: list[tuple[int, ...]] = []
        for token in order:
            tried = (*tokens[:place], token, *tokens[place + 1 :])
            if token != tokens[place] and self.stands(tried) is not None:
                found.append(tried)
            if len(found) == count:
                break
        return found

    def stands(self, tokens: Sequence[int]) -> int | None:
        """Where a prompt stands in what the student reads; None if its text becomes other tokens."""
        [ids] = self._rows.form.prompt_ids([behind(self.text(tokens), PROBE)])
        size = len(tokens)
        return next((at for at in range(len(ids) - size) if ids[at : at + size] == [*tokens]), None)


def _text(tokenizer: Any, tokens: Sequence[int]) -> str:
    return str(tokenizer.decode(list(tokens), skip_special_tokens=True)).strip()


def _allowed(tokenizer: Any, rows: int) -> list[int]:
    """The tokens that are written as a text that can be seen, without those that the model or the tokenizer keeps for itself."""
    special = set(tokenizer.all_special_ids) | set(getattr(tokenizer, "added_tokens_decoder", {}))
    return [
        token
        for token in range(min(rows, len(tokenizer)))
        if token not in special
        and (text := _text(tokenizer, [token]))
        and text.isprintable()
        and "�" not in text
    ]


def search(
    search: PromptSearch, state: State, steps: int, keep: Callable[[State], None], check: Callable[[], None]
) -> State:
    """Goes on from a state to the last step; each is kept."""
    while state.step < steps:
        check()
        state = search.step(state)
        keep(state)
    return state
