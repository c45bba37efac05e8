"""Answers in static batches: prompts of similar room and length, padded, one batch after another.

The attention mask, and with it the positions, matches the padding, and each question has its own room. So the answer to a
question does not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from engine.students.architecture import architecture_of
from engine.students.out_of_memory import is_out_of_memory
from engine.students.ranks import Stopped
from engine.students.room import Asked, Completion, written_alone_beyond


def write_in_batches(
    model: Any,
    pad: int,
    decode: Callable[[Sequence[int]], str],
    asked: Sequence[Asked],
    *,
    batch_size: int,
    temperature: float | None = None,
    stopping: Callable[[], bool] = lambda: False,
    note: Callable[[str], None] = lambda _message: None,
) -> list[Completion]:
    """The completions of questions, in order.

    A batch writes as many tokens as the least room in it. An answer that has more room and no end yet goes on in a later
    batch. No room in a batch is less than half of another, so that few answers need more than one. If memory is too small
    for `batch_size` questions, the batch is halved and `note` is told. With a `temperature`, answers are sampled from
    torch's random state.

    Raises:
        Stopped: `stopping` returned true between two batches.
    """
    architecture, alone_beyond = architecture_of(model), written_alone_beyond(model.config)
    written: list[list[int]] = [[] for _ in asked]
    ended: set[int] = set()
    waiting = [index for index, each in enumerate(asked) if each.count]
    ends = _ends(model)
    was_training = model.training
    model.eval()
    try:
        while waiting:
            if stopping():
                raise Stopped
            left = {index: asked[index].count - len(written[index]) for index in waiting}
            waiting.sort(key=lambda index: (-left[index], len(asked[index].ids)))
            batch = _batch(waiting, asked, left, size=batch_size, alone_beyond=alone_beyond)
            room = min(left[index] for index in batch)
            prompts = [asked[index].ids + written[index] for index in batch]
            try:
                found = architecture.continuations(
                    model, prompts, pad=pad, count=room, temperature=temperature
                )
            except Exception as error:
                if len(batch) == 1 or not is_out_of_memory(error):
                    raise
                batch_size = len(batch) // 2
                note(f"out of memory with {len(batch)} questions per batch: continuing with {batch_size}")
                continue
            for index, tokens in zip(batch, found, strict=True):
                end = next((place for place, token in enumerate(tokens) if token in ends), None)
                written[index] += tokens if end is None else tokens[:end]
                if end is not None:
                    ended.add(index)
                if end is not None or room == left[index]:
                    waiting.remove(index)
    finally:
        model.train(was_training)
    return [
        Completion(
            decode(tokens) if tokens else "",
            each.reason,
            None if each.reason else index in ended,
            prompt_tokens=len(each.ids) if each.count else 0,
            tokens=len(tokens) + (index in ended),
            ids=tuple(tokens),
        )
        for index, (tokens, each) in enumerate(zip(written, asked, strict=True))
    ]


def _batch(
    waiting: Sequence[int],
    asked: Sequence[Asked],
    left: Mapping[int, int],
    *,
    size: int,
    alone_beyond: int | None,
) -> list[int]:
    """The next questions to answer together, of those that wait, which are sorted by the room they have left."""
    first, *others = waiting

    def alone(index: int) -> bool:
        return alone_beyond is not None and len(asked[index].ids) + asked[index].count > alone_beyond

    if alone(first):
        return [first]
    near = (index for index in others if 2 * left[index] >= left[first] and not alone(index))
    return [first, *islice(near, size - 1)]


def _ends(model: Any) -> frozenset[int]:
    """The tokens at which the model stops."""
    ends = model.generation_config.eos_token_id
    return frozenset(() if ends is None else (ends,) if isinstance(ends, int) else ends)
