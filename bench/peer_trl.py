"""TRL's SFTTrainer on the rows of a Coterie run, as its users run it; `bench/students.py` calls it with its settings as JSON.

The last line of its output is a JSON object with the fields of `bench.students.Trained`.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from importlib.util import find_spec
from pathlib import Path


def main(settings: dict) -> dict:
    """Trains, and returns the measurements."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from engine.forms import default_settings, form_of
    from engine.methods import METHODS, TrainRow
    from engine.students.spec import Spec

    warnings.simplefilter("ignore")
    cuda = settings["device"] == "cuda"
    tokenizer = AutoTokenizer.from_pretrained(settings["base"])
    run = Path(settings["run"])
    form = Spec.model_validate_json((run / "spec.json").read_text()).form or default_settings(
        template=tokenizer.chat_template is not None, encoder_decoder=False
    )
    outline = (
        form_of(form)
        .open(form, METHODS["fine-tune-cot"], tokenizer, encoder_decoder=False, note=print)
        .outline
    )
    pairs = [
        outline.example(TrainRow.model_validate_json(line))
        for line in (run / "manifest.jsonl").read_text().splitlines()
    ]
    pairs = [
        {"prompt": pair["messages"][:-1], "completion": pair["messages"][-1:]} if "messages" in pair else pair
        for pair in pairs
    ]
    flash = cuda and find_spec("flash_attn") is not None
    model = AutoModelForCausalLM.from_pretrained(
        settings["base"], dtype="float32", attn_implementation="flash_attention_2" if flash else "sdpa"
    )
    ends: list[tuple[float, float]] = []  # of each step: clock, CPU time of this process
    seen: list[int] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_args, **_more):
            if cuda:
                torch.cuda.synchronize()
            ends.append((time.time(), time.process_time()))

    class Counted(SFTTrainer):
        def training_step(self, model, inputs, *more):
            mask = inputs.get("attention_mask")
            seen.append(int(mask.sum()) if mask is not None else inputs["input_ids"].numel())
            return super().training_step(model, inputs, *more)

    arguments = {
        **{"output_dir": settings["output"], "max_steps": settings["steps"], "report_to": "none"},
        **{"per_device_train_batch_size": settings["batch"], "learning_rate": 3e-4, "weight_decay": 0.05},
        **{"max_length": settings["length"], "packing": settings["packing"], "completion_only_loss": True},
        **{
            "save_strategy": "no",
            "disable_tqdm": True,
            "bf16": cuda,
            "use_cpu": not cuda,
        },
        **{"gradient_checkpointing": False, "lr_scheduler_type": "cosine", "dataloader_pin_memory": cuda},
        **({} if settings["packing"] else {"train_sampling_strategy": "group_by_length"}),
    }
    trainer = Counted(
        model=model,
        args=SFTConfig(**arguments),
        train_dataset=Dataset.from_list(pairs),
        processing_class=tokenizer,
        callbacks=[Clock()],
        peft_config=LoraConfig(r=settings["lora_rank"], lora_alpha=16, target_modules="all-linear")
        if settings["lora_rank"]
        else None,
    )
    trainer.train()
    begun = time.time()
    trainer._save_checkpoint(trainer.model, trial=None)
    save = time.time() - begun
    memory = (
        torch.cuda.max_memory_allocated() / 2**20
        if cuda
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    )
    first = min(4, len(ends) - 2)
    tokens = sum(seen[first + 1 :])
    clock, cpu = (two - one for one, two in zip(ends[first], ends[-1], strict=True))
    how = "padded" if not settings["packing"] else "packed" if flash else "packed, rows see each other"
    return {
        "first_step_s": ends[0][0] - settings["begun"],
        "tokens_per_second": tokens / clock,
        "tokens_per_cpu_second": tokens / cpu,
        "tokens_per_step": tokens / (len(ends) - 1 - first),
        "save_s": save,
        "memory_mb": memory,
        "said": f"{model.config._attn_implementation}, {how}",
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
