"""Checks that packed rows do not attend to each other; `bench/gpu.py` calls it with a model and a device.

The last line of output is a JSON object: for each attention implementation, the error that was found, or an empty text.
"""

from __future__ import annotations

import json
import sys


def main(base: str, kind: str) -> dict[str, str]:
    """The findings of `packing.mixes` for each attention implementation."""
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    from engine.students.architecture import DECODER
    from engine.students.kernels import flash_names
    from engine.students.objective import Student
    from engine.students.packing import mixes
    from engine.students.token_rows import TokenRow

    device = torch.device(kind)
    names = [*(flash_names(device) if kind == "cuda" else ()), "sdpa", "eager"]
    chance = np.random.default_rng(0)
    found = {}
    for name in names:
        model = AutoModelForCausalLM.from_pretrained(base, attn_implementation=name, dtype="float32").to(
            device
        )
        if kind == "cuda":
            model.bfloat16()
        rows = [
            TokenRow(ids=chance.integers(5, 500, size=length).astype(np.int64), prompt=length // 3)
            for length in (17, 40, 29)
        ]
        found[name] = mixes(Student(model.eval(), DECODER), rows, pad=0, device=device)
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2])))
