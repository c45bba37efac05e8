"""Greedy answers by the continuous batching of transformers: a finished answer makes room for the next question.

Static batches wait for their longest answer. Which way is faster depends on the machine and the answers
(`bench/training.py` measures both); the answers are the same.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from typing import Any

from engine.config.students import EvaluationConfig
from engine.errors import JobFailed
from engine.forms import TokenForm
from engine.students.adapters import prefix_tokens
from engine.students.architecture import DECODER, architecture_of
from engine.students.ranks import Stopped
from engine.students.room import Completion, written_alone_beyond

AT_A_TIME = 1024
"""Questions between two checks for a stop request."""
PAGE = 256
"""Tokens of a page of the cache."""


def can_batch(model: Any) -> bool:
    """Whether continuous batching answers as static batches do: a decoder without a prefix, whose positions do not depend on the batch."""
    return (
        architecture_of(model) is DECODER
        and hasattr(model, "generate_batch")
        and not prefix_tokens(model)
        and written_alone_beyond(model.config) is None
    )


def _memory(model: Any, batch_size: int, tokens: int) -> Any:
    """How much memory the cache takes: transformers sizes it by a GPU's. On a CPU, it is sized by the batch.

    `tokens` is the length of the longest prompt with its answer.
    """
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    if model.device.type != "cpu":
        return None
    pages = -(-tokens // PAGE)
    return ContinuousBatchingConfig(
        page_size=PAGE,
        num_blocks=batch_size * pages,
        max_requests_per_batch=batch_size,
        max_batch_tokens=max(pages * PAGE, batch_size),
    )


def generate_continuously(
    model: Any,
    form: TokenForm,
    prompts: Sequence[Sequence[int]],
    config: EvaluationConfig,
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> list[Completion]:
    """Completions in the order of the prompts. Each prompt has room for `config.max_new_tokens`.

    Raises:
        Stopped: `stopping` returned true.
        JobFailed: a question was not answered.
    """
    settings = copy.deepcopy(model.generation_config)
    settings.max_new_tokens = config.max_new_tokens
    written: list[Completion] = []
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.ERROR)
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(prompts), AT_A_TIME):
            if stopping():
                raise Stopped
            chosen = [list(ids) for ids in prompts[start : start + AT_A_TIME]]
            longest = max(map(len, chosen)) + config.max_new_tokens
            found = list(
                model.generate_batch(
                    inputs=chosen,
                    generation_config=settings,
                    continuous_batching_config=_memory(model, config.batch_size, longest),
                    progress_bar=False,
                ).values()
            )
            if len(found) != len(chosen) or any(each.error for each in found):
                why = next((each.error for each in found if each.error), "answers are missing")
                raise JobFailed(f'evaluation.batching = "continuous" failed ({why}): use "static"')
            written += (
                Completion(
                    form.decode(each.generated_tokens),
                    ended=any(token in form.ends for token in each.generated_tokens),
                    prompt_tokens=len(ids),
                    tokens=len(each.generated_tokens),
                )
                for ids, each in zip(chosen, found, strict=True)
            )
    finally:
        model.train(was_training)
    return written
