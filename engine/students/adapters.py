"""What of a model is trained: all weights, low-rank adapters (LoRA, Hu et al. 2021), or a prefix (Li and Liang 2021).

LoRA's adapters are inside the model, which otherwise behaves as before: it generates, is counted and is saved, and they are merged into it
at export. A prefix is not: only peft's wrapper puts it before the text, so the wrapper is what is called, trained and asked. Checkpoints of both
hold what is trained alone; the frozen weights are those of the base.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import JobFailed
from engine.students.base_names import place_of
from engine.students.operations.base import BASE

if TYPE_CHECKING:
    from engine.config.training import TrainingConfig
    from engine.students.spec import Spec

NOTHING = 'the adapter changes nothing: no gradient reaches what is trained (training.adapter = "{}")'
"""An error, with the name of the adapter."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """A model with what is trained of it."""

    model: Any
    """What is called, trained and asked."""
    wrapper: Any | None
    """peft's model; None where all weights are trained."""

    @property
    def frozen(self) -> bool:
        """Whether there are frozen weights, which no checkpoint holds."""
        return self.wrapper is not None


def adapt(model: Any, training: TrainingConfig) -> Adapted:
    """The model with what is trained of it; the rest is frozen.

    Raises:
        JobFailed: it cannot be trained in this way.
    """
    if training.adapter == "lora":
        return Adapted(model, _with_lora(model, training))
    if training.adapter == "prefix":
        wrapper = _with_prefix(model, training)
        return Adapted(wrapper, wrapper)
    return Adapted(model, None)


def save(adapted: Adapted, student: Path, spec: Spec) -> None:
    """Writes weights and configuration into the directory of a student.

    What LoRA learned is added to the frozen weights, and the adapters are removed. A prefix is written as peft reads it, and the model into
    `base/`.
    """
    if adapted.wrapper is None:
        adapted.model.save_pretrained(student)
    elif adapted.model is adapted.wrapper:
        _save_adapter(adapted.wrapper, student, BASE)
        _save_base(adapted.wrapper.get_base_model(), student / BASE, spec.base)
    else:
        adapted.wrapper.merge_and_unload()
        adapted.model.save_pretrained(student)


def save_adapter(adapted: Adapted, directory: Path, base: str) -> None:
    """Writes LoRA's adapters before they are merged, as peft reads them, with the base's name."""
    _save_adapter(adapted.wrapper, directory, base)


def load_prefix(student: Path, model: Any) -> Any:
    """The base of an exported student with its prefix."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, student, torch_device=str(model.device))


def prefix_tokens(model: Any) -> int:
    """How many positions of its context a prefix takes from a model."""
    configs = getattr(model, "peft_config", None) or {}
    return sum(getattr(each, "num_virtual_tokens", None) or 0 for each in configs.values())


def link(source: str, target: str) -> None:
    """Links a file where the file system can, so that it takes no space twice; otherwise copies it."""
    real = os.path.realpath(source)  # the hub's cache has links
    try:
        os.link(real, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(real, target)


def _with_lora(model: Any, training: TrainingConfig) -> Any:
    """Adapters in all linear layers except the head. One starts without effect: one matrix of a pair is zero, the other a function of the seed."""
    from peft import LoraConfig

    config = LoraConfig(r=training.lora_rank, lora_alpha=training.lora_alpha, target_modules="all-linear")
    return _wrapped(model, config, training, f"with LoRA (training.lora_rank = {training.lora_rank})")


def _with_prefix(model: Any, training: TrainingConfig) -> Any:
    """A prefix starts as a function of the seed, and changes the answers of the model from then on."""
    import torch
    from peft import PrefixTuningConfig

    from engine.students.architecture import layers_of

    config = PrefixTuningConfig(
        num_virtual_tokens=training.prefix_tokens,
        num_layers=layers_of(model.config.get_text_config())[1],
        task_type=_task_type(model),
    )
    how = f"with a prefix (training.prefix_tokens = {training.prefix_tokens})"
    wrapper = _wrapped(model, config, training, how)
    ids = torch.zeros((1, 2), dtype=torch.long, device=next(model.parameters()).device)
    sides = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    try:
        with torch.no_grad():
            wrapper(input_ids=ids, use_cache=False, **sides)
    except Exception as error:  # whatever a model raises whose keys and values are not as peft makes them
        raise JobFailed(_refused(model, how, error)) from error
    return wrapper


def _wrapped(model: Any, config: Any, training: TrainingConfig, how: str) -> Any:
    import torch
    from peft import get_peft_model

    torch.manual_seed(training.seed % 2**63)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it finds out by itself that GPT-2's layers are transposed
            return get_peft_model(model, config)
    except (ValueError, LookupError, AttributeError) as error:
        raise JobFailed(_refused(model, how, error)) from error


def _refused(model: Any, how: str, error: Exception) -> str:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return f"{type(model).__name__} cannot be trained {how}: {reason}"


def _task_type(model: Any) -> str:
    return "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM"


def _save_adapter(wrapper: Any, directory: Path, base: str) -> None:
    for config in wrapper.peft_config.values():
        config.base_model_name_or_path = base
        config.task_type = _task_type(wrapper)
        if getattr(config, "target_modules", None):
            config.target_modules = sorted(config.target_modules)
    wrapper.save_pretrained(directory, save_embedding_layers=False)
    (directory / "README.md").unlink(missing_ok=True)  # a form to fill in; the student has its own card


def _save_base(model: Any, directory: Path, base: str) -> None:
    """The model, which is as it was: its weights are linked where they lie in safetensors on this machine."""
    files = _safetensors(base)
    if not _complete(files, model):
        model.save_pretrained(directory)
        return
    directory.mkdir()
    for path in files:
        link(str(path), str(directory / path.name))
    model.config.dtype, model.config.architectures = model.dtype, [type(model).__name__]
    model.config.save_pretrained(directory)
    model.generation_config.save_pretrained(directory)


def _complete(files: list[Path], model: Any) -> bool:
    """Whether files have all weights of a model, each under one of its names."""
    from safetensors import safe_open

    found: set[str] = set()
    for path in files:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="numpy") as file:
                found.update(file.keys())
    names: dict[int, set[str]] = {}
    for name, tensor in model.state_dict().items():
        names.setdefault(tensor.data_ptr(), set()).add(name)
    return bool(found) and all(each & found for each in names.values())


def _safetensors(base: str) -> list[Path]:
    """The weight files of a base on this machine, with their index; empty if they are not safetensors."""
    place = place_of(base)
    if place is None or not place.is_dir():
        return []
    index = place / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        return [index, *(place / name for name in names)]
    single = place / "model.safetensors"
    return [single] if single.is_file() else []
