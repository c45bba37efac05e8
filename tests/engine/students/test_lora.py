from __future__ import annotations

import json

import pytest

from engine.config.students import TrainingConfig
from engine.errors import JobFailed
from engine.students.exported_student import save_student
from engine.students.lora import adapt, merge
from engine.students.spec import Spec
from tests.engine.students.runs import CORE, make_run
from tests.lazily import Lazy

torch, transformers = Lazy("torch"), Lazy("transformers")
architecture = Lazy("engine.students.architecture")


def load(base):
    return architecture.auto_class(transformers.AutoConfig.from_pretrained(base)).from_pretrained(base).eval()


def logits(model) -> torch.Tensor:
    ids = torch.arange(5, 25).reshape(2, 10)
    sides = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        return model(input_ids=ids, **sides).logits


@pytest.mark.parametrize("name", CORE)
def test_adapters_begin_as_nothing_and_leave_what_they_learned(bases, name) -> None:
    model = load(bases[name])
    names, plain = set(model.state_dict()), logits(model)
    adapted = adapt(model, TrainingConfig(lora_rank=4, lora_alpha=8))
    torch.testing.assert_close(logits(model), plain)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert trained and all(4 in parameter.shape for parameter in trained)
    for parameter in trained:
        torch.nn.init.normal_(parameter, std=0.2)
    learned = logits(model)
    assert (learned - plain).abs().max() > 0.01
    merge(adapted)
    torch.testing.assert_close(logits(model), learned, rtol=1e-4, atol=1e-4)
    assert set(model.state_dict()) == names


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # of peft's own call
@pytest.mark.parametrize("name", CORE)
def test_a_kept_adapter_makes_the_same_answers_of_its_base(bases, name, tmp_path) -> None:
    """Greedy answers are equal token for token, and logits up to the rounding of float32."""
    import peft

    training = {"lora_rank": 4, "lora_alpha": 8, "keep_adapter": True}
    spec = Spec.model_validate_json((make_run(tmp_path / "run", training=training) / "spec.json").read_text())
    model = load(bases[name])
    adapted = adapt(model, spec.training)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    tokenizer = transformers.AutoTokenizer.from_pretrained(bases[name])
    named = spec.model_copy(update={"base": str(bases[name])})
    student = save_student(tmp_path / "run", named, model, adapted, tokenizer, "{{ messages[0].content }}")
    config = json.loads((student / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == bases[name].name
    merged, on_base = (
        load(student),
        peft.PeftModel.from_pretrained(load(bases[name]), student / "adapter").eval(),
    )
    torch.testing.assert_close(logits(on_base), logits(merged), rtol=1e-4, atol=1e-4)
    assert (logits(on_base) - logits(load(bases[name]))).abs().max() > 0.01
    ids = torch.arange(5, 45).reshape(4, 10)
    answers = [each.generate(input_ids=ids, do_sample=False, max_new_tokens=12) for each in (merged, on_base)]
    assert answers[0].equal(answers[1])


def test_the_seed_decides_where_adapters_begin(bases) -> None:
    first, again, other = (load(bases["llama"]) for _ in range(3))
    for model, seed in ((first, 1), (again, 1), (other, 2)):
        torch.manual_seed(torch.seed())
        adapt(model, TrainingConfig(lora_rank=2, seed=seed))
    key = next(name for name in first.state_dict() if "lora_A" in name)
    assert first.state_dict()[key].equal(again.state_dict()[key])
    assert not first.state_dict()[key].equal(other.state_dict()[key])


def test_without_a_rank_nothing_is_done(bases) -> None:
    model = load(bases["gpt2"])
    assert adapt(model, TrainingConfig()) is None
    merge(None)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_model_without_linear_layers_is_refused(bases) -> None:
    config = transformers.AutoConfig.from_pretrained(bases["gpt2"])
    config.n_layer = 0
    with pytest.raises(JobFailed, match="cannot be trained with LoRA"):
        adapt(architecture.auto_class(config).from_config(config), TrainingConfig(lora_rank=2))


def test_frozen_weights_cost_no_gradient(bases) -> None:
    from engine.students.token_rows import TokenRow

    model = load(bases["gpt2"])
    row = TokenRow(torch.arange(9).numpy(), 3)
    [whole] = architecture.DECODER.flops(model, [row])
    adapt(model, TrainingConfig(lora_rank=1))
    [adapters] = architecture.DECODER.flops(model, [row])
    assert 0.66 * whole < adapters < whole
