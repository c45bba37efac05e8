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
from engine.students.architecture import DECODER, architecture_of
from engine.students.ranks import Stopped
from engine.students.token_rows import prompt_ids

AT_A_TIME = 1024
"""Questions between two checks for a stop request."""
PAGE = 256
"""Tokens of a page of the cache."""


def can_batch(model: Any) -> bool:
    """Whether transformers supports continuous batching for a model: a decoder of a supported architecture."""
    return architecture_of(model) is DECODER and hasattr(model, "generate_batch")


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
    tokenizer: Any,
    questions: Sequence[str],
    config: EvaluationConfig,
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Completions in the order of the questions. A prompt that fills the context gets an empty completion.

    Raises:
        Stopped: `stopping` returned true.
        JobFailed: a question was not answered.
    """
    prompts = prompt_ids(tokenizer, questions, DECODER.prompt_format)
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    settings = copy.deepcopy(model.generation_config)
    texts = [""] * len(prompts)
    asked = [index for index, ids in enumerate(prompts) if limit is None or len(ids) < limit]
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.ERROR)
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(asked), AT_A_TIME):
            if stopping():
                raise Stopped
            chosen = asked[start : start + AT_A_TIME]
            longest = max(len(prompts[index]) for index in chosen)
            settings.max_new_tokens = min(config.max_new_tokens, (limit or 2**31) - longest)
            found = list(
                model.generate_batch(
                    inputs=[prompts[index] for index in chosen],
                    generation_config=settings,
                    continuous_batching_config=_memory(
                        model, config.batch_size, longest + settings.max_new_tokens
                    ),
                    progress_bar=False,
                ).values()
            )
            if len(found) != len(chosen) or any(each.error for each in found):
                why = next((each.error for each in found if each.error), "answers are missing")
                raise JobFailed(f'evaluation.batching = "continuous" failed ({why}): use "static"')
            for index, each in zip(chosen, found, strict=True):
                texts[index] = tokenizer.decode(each.generated_tokens, skip_special_tokens=True)
    finally:
        model.train(was_training)
    return texts
