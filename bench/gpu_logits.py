"""Whether a model keeps packed rows apart, with each attention that there is: called by `bench/gpu.py` with a model and a device.

The last line of its output is a JSON object: the attention to what is wrong with it, or nothing.
"""

from __future__ import annotations

import json
import sys


def main(base: str, kind: str) -> dict[str, str]:
    """What `packing.mixes` finds."""
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
