from __future__ import annotations

import pytest

from engine.config.students import TrainingConfig
from engine.errors import JobFailed
from tests.lazily import Lazy

torch, transformers = Lazy("torch"), Lazy("transformers")
architecture = Lazy("engine.students.architecture")
base_model, kernels, zero = (Lazy(f"engine.students.{name}") for name in ("base_model", "kernels", "zero"))


def test_attention_is_chosen_by_device_and_precision() -> None:
    auto = TrainingConfig()
    assert (
        kernels.attentions(auto, torch.device("cpu"), bf16=False)
        == kernels.attentions(auto, torch.device("cuda"), bf16=False)
        == (None,)
    )
    assert kernels.attentions(TrainingConfig(attention="eager"), torch.device("cpu"), bf16=False) == (
        "eager",
    )
    flash = TrainingConfig(attention="flash")
    for device, bf16, lacks in (
        (torch.device("cpu"), True, "it needs a GPU"),
        (torch.device("cuda"), False, "it needs bf16"),
    ):
        with pytest.raises(JobFailed, match=lacks):
            kernels.attentions(flash, device, bf16=bf16)


def test_flash_attention_is_used_where_it_is_installed(tmp_path, monkeypatch) -> None:
    with pytest.raises(JobFailed, match="flash-attn is not installed"):
        kernels.attentions(TrainingConfig(attention="flash"), torch.device("cuda"), bf16=True)
    (tmp_path / "flash_attn.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert kernels.attentions(TrainingConfig(), torch.device("cuda"), bf16=True) == (
        "flash_attention_2",
        None,
    )
    assert kernels.attentions(TrainingConfig(attention="flash"), torch.device("cuda"), bf16=True) == (
        "flash_attention_2",
    )
    (tmp_path / "flash_attn_interface.py").touch()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (9, 0))
    assert kernels.attentions(TrainingConfig(), torch.device("cuda"), bf16=True) == (
        "flash_attention_3",
        "flash_attention_2",
        None,
    )
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (8, 0))
    assert kernels.attentions(TrainingConfig(), torch.device("cuda"), bf16=True) == (
        "flash_attention_2",
        None,
    )


def test_a_model_without_an_attention_takes_the_next_or_says_so(bases) -> None:
    # Flash attention cannot be loaded here; neither can T5 use it anywhere.
    model = base_model.load_model(str(bases["t5"]), ("flash_attention_2", None))
    assert model.config._attn_implementation == "sdpa"
    assert base_model.load_model(str(bases["llama"]), ("eager",)).config._attn_implementation == "eager"
    with pytest.raises(JobFailed, match="cannot be loaded"):
        base_model.load_model(str(bases["t5"]), ("flash_attention_2",))


def test_compiling_needs_a_compiler(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert kernels.compiler() is None
    with pytest.raises(JobFailed, match=r"training.compile = true needs a C\+\+ compiler"):
        kernels.check_compiler(torch.device("cpu"))
    (tmp_path / "clang++").touch(mode=0o755)
    kernels.check_compiler(torch.device("cpu"))


def test_liger_is_for_gpus_and_must_be_installed(bases) -> None:
    model = base_model.load_model(str(bases["llama"]))
    with pytest.raises(JobFailed, match="GPUs only"):
        kernels.apply_liger(model, torch.device("cpu"))
    with pytest.raises(JobFailed, match="liger-kernel is not installed"):
        kernels.apply_liger(model, torch.device("cuda"))


def test_an_architecture_that_cannot_forget_activations_is_refused(bases) -> None:
    config = transformers.AutoConfig.from_pretrained(bases["gpt2"])
    model = architecture.auto_class(config).from_config(config)
    kernels.checkpoint_activations(model, reentrant=False)
    assert (
        sum(getattr(module, "gradient_checkpointing", False) for module in model.modules()) >= config.n_layer
    )
    model.supports_gradient_checkpointing = False
    with pytest.raises(JobFailed, match="GPT2LMHeadModel does not support activation checkpointing"):
        kernels.checkpoint_activations(model, reentrant=False)


def test_deepspeed_is_told_what_stays_where() -> None:
    def told(**settings: object) -> dict:
        training = TrainingConfig(**settings)
        return zero.zero_config(training, bf16=False, parameters=10**9, accumulation_steps=1, pinned=True)[
            "zero_optimization"
        ]

    assert "offload_optimizer" not in told(zero_stage=3)
    assert told(offload="optimizer")["offload_optimizer"] == {"device": "cpu", "pin_memory": True}
    assert "offload_param" not in told(offload="optimizer", zero_stage=3)
    assert {"offload_optimizer", "offload_param"} <= told(offload="all", zero_stage=3).keys()


def test_offload_without_a_compiler_says_so(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    [both] = zero.parameter_groups(torch.nn.Linear(2, 2), 0.1, vectors_too=True)
    assert len(both["params"]) == 2 and both["weight_decay"] == 0.1
    groups = zero.parameter_groups(torch.nn.Linear(2, 2), 0.1)
    found = zero._adam(groups, TrainingConfig(offload="optimizer"), on_gpu=True, say=said.append)
    assert type(found) is torch.optim.AdamW
    assert said == [
        "offload works without DeepSpeed's CPU Adam: no C++ compiler (g++) was found; torch's AdamW updates the weights, more slowly"
    ]
