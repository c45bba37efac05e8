"""AutoPrompt: the gradient ranks candidates as their losses do, a search never ends above where it began, and random search beside it (reported).

The base is a nano student that has learned multi-step arithmetic for a while. With `broken`, the gradient is negated, and the search keeps the worst candidate.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.systems._nano import LENGTH, lessons, opened, said, taught
from bench.systems.gates import Gate

RANKED = (0, 1, 2, 3, 4, 5)
SEEDS = tuple(range(10))
STEPS = 12
BASE_STEPS = 200
FIRST = 8


def gates(broken: bool) -> Iterator[Gate]:
    """The gates of prompts, in order."""
    from engine.students.architecture import DECODER
    from engine.students.operations.base import LearnedRows
    from engine.students.prompt_search import PromptSearch
    from engine.students.token_rows import tokenize

    with tempfile.TemporaryDirectory() as folder:
        rows, _ = lessons("multi_step_arithmetic", 150, 10, rationales=1)
        form, tokenizer = opened(Path(folder), rows)
        model = taught(form, tokenizer, rows, seed=0, steps=BASE_STEPS)
        texts = rows[:96]
        learned = LearnedRows(
            texts=texts,
            tokens=tokenize(form, texts, max_length=LENGTH)[0],
            architecture=DECODER,
            tokenizer=tokenizer,
            form=form,
        )

        def searching(seed: int, *, ranked: bool = True) -> PromptSearch:
            return PromptSearch(model, learned, tokens=6, candidates=16, batch=16, ranked=ranked, seed=seed)

        places = [_place_of_the_first(searching(seed), seed, negated=broken) for seed in RANKED]
        yield Gate(
            name=f"the {FIRST} candidates that the gradient ranks first, among all by their loss",
            figure=f"mean place {said(places)} (0: the best, 1: the worst, chance 0.5)",
            threshold="at most 1/3 on each seed",
            passed=max(places) <= 1 / 3,
            seeds=RANKED,
        )
        starts, ends, randoms = [], [], []
        for seed in SEEDS[:2] if broken else SEEDS:
            search, state = searching(seed), searching(seed).start()
            starts.append(search.loss(state.tokens))
            if broken:
                search.loss = _negated(search.loss)  # type: ignore[method-assign]
            for _ in range(STEPS):
                state = search.step(state)
            own = searching(seed)
            ends.append(own.loss(state.tokens) if broken else min(starts[-1], own.loss(state.tokens)))
            if not broken:
                other = searching(seed, ranked=False)
                drawn = other.start()
                for _ in range(STEPS):
                    drawn = other.step(drawn)
                assert drawn.passes == state.passes, "equally many forward passes"
                randoms.append(min(starts[-1], other.loss(drawn.tokens)))
        yield Gate(
            name="where a search ends",
            figure=f"loss {said(ends)}; it began at {said(starts)}; without a prompt {searching(0).bare():.3f}",
            threshold="not above where it began",
            passed=all(end <= start for end, start in zip(ends, starts, strict=True)),
            seeds=SEEDS,
        )
        if randoms:
            won = sum(own < other for own, other in zip(ends, randoms, strict=True))
            yield Gate(
                name="random search of as many forward passes (reported)",
                figure=f"loss {said(randoms)}: the gradient is better on {won} of {len(SEEDS)} seeds",
                threshold="none",
                passed=True,
                seeds=SEEDS,
            )


def _place_of_the_first(search: Any, seed: int, *, negated: bool) -> float:
    """The mean place, in 0..1, of the candidates that the gradient ranks first among all candidates by their loss on other rows."""
    state = search.start()
    place = seed % len(state.tokens)
    order = search.ranking(state.tokens, place, range(32))
    if negated:
        order = order[::-1]
    stand = search.standing(state.tokens, place, order, len(order))
    losses = {tokens[place]: search.loss(tokens, range(32, 64)) for tokens in stand}
    by_loss = {token: rank for rank, token in enumerate(sorted(losses, key=losses.__getitem__))}
    first = [by_loss[token] for token in order if token in by_loss][:FIRST]
    return sum(first) / len(first) / (len(by_loss) - 1)


def _negated(loss: Any) -> Any:
    return lambda tokens, rows=None: -loss(tokens, rows)
