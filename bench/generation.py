"""Speed of a student's generation in several ways; `bench/training.py` calls it with a student, rows and a count."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

LENGTH = 64


def main(directory: str, manifest: str, count: int) -> dict[str, float]:
    """Answer tokens per CPU second, for each way."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from engine.config.students import EvaluationConfig
    from engine.forms import FIRST, form_of
    from engine.methods import METHODS
    from engine.students.architecture import DECODER
    from engine.students.continuous import generate_continuously
    from engine.students.evaluate import writer
    from engine.students.tokenizer import pad_id

    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory).eval()
    asked = [json.loads(line)["question"] for line in Path(manifest).read_text().splitlines()[:count]]
    model.generation_config.eos_token_id = (
        None  # each answer has the full length, so every way does the same work
    )
    config = EvaluationConfig(max_new_tokens=LENGTH, batch_size=32)
    form = form_of(FIRST).open(FIRST, METHODS["fine-tune-cot"], tokenizer, encoder_decoder=False, note=print)
    write = writer(model, tokenizer, form, config, stopping=lambda: False)

    def given_order(size: int) -> list[str]:
        prompts = form.prompt_ids(asked)
        found: list[str] = []
        for start in range(0, len(prompts), size):
            written = DECODER.continuations(
                model, prompts[start : start + size], pad=pad_id(tokenizer), count=config.max_new_tokens
            )
            found += [tokenizer.decode(tokens, skip_special_tokens=True) for tokens in written]
        return found

    ways: dict[str, Callable[[], list[str]]] = {
        "static": lambda: [each.text for each in write(asked, None)],
        "given order": lambda: given_order(config.batch_size),
        "continuous": lambda: generate_continuously(model, form, form.prompt_ids(asked), config),
        "one by one": lambda: given_order(1),
    }
    write(asked[:2], None)
    speeds: dict[str, float] = {}
    for name, way in ways.items():
        begun = time.process_time()
        way()
        speeds[name] = len(asked) * LENGTH / (time.process_time() - begun)
    return speeds


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
