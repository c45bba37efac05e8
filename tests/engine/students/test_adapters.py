from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from engine.config.students import TrainingConfig
from engine.errors import JobFailed
from engine.students.adapters import Adapted, adapt
from engine.students.exported_student import save_student
from engine.students.spec import Spec
from tests.engine.students.runs import BASES, CORE, make_run
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
    adapted = adapt(model, TrainingConfig.model_validate({"lora_rank": 4, "lora_alpha": 8}))
    torch.testing.assert_close(logits(model), plain)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert trained and all(4 in parameter.shape for parameter in trained)
    for parameter in trained:
        torch.nn.init.normal_(parameter, std=0.2)
    learned = logits(model)
    assert (learned - plain).abs().max() > 0.01
    adapted.wrapper.merge_and_unload()
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
    student = save_student(tmp_path / "run", named, adapted, tokenizer, "{{ messages[0].content }}")
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
        adapt(model, TrainingConfig(adapter="lora", lora_rank=2, seed=seed))
    key = next(name for name in first.state_dict() if "lora_A" in name)
    assert first.state_dict()[key].equal(again.state_dict()[key])
    assert not first.state_dict()[key].equal(other.state_dict()[key])


def test_without_an_adapter_nothing_is_done(bases) -> None:
    model = load(bases["gpt2"])
    assert adapt(model, TrainingConfig()) == Adapted(model, None)
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


PREFIX = TrainingConfig(adapter="prefix", prefix_tokens=5)
QUESTIONS = ([7, 8, 9, 10], [5, 6, 7, 8, 9, 10, 11, 12, 13], [20, 21])


def token_rows():
    from engine.students.token_rows import TokenRow

    return [TokenRow(torch.arange(5, 5 + length).numpy(), 3) for length in (9, 14, 6)]


def trained_logits(student, rows):
    """[supervised, vocabulary], as training computes them."""
    from engine.students import packing

    inputs, keep, *_ = packing.on_device(student.architecture.collate(rows, 0), torch.device("cpu"))
    with torch.no_grad():
        return student.logits(inputs, keep)


def answers(model, questions) -> list[list[int]]:
    return architecture.architecture_of(model).continuations(model, questions, pad=0, count=8)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("name", BASES)
def test_a_prefix_is_small_exact_and_comes_back_with_its_base(bases, name, tmp_path) -> None:
    """Trainable numbers, a frozen base, padded rows and batches as one by one, the export reloaded, and its card's way to load it."""
    from engine.students.exported_student import load_copy
    from engine.students.objective import Student

    model = load(bases[name])
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    settings = model.config.get_text_config()
    adapted = adapt(model, PREFIX)
    wrapper = adapted.model.eval()
    trained = sum(each.numel() for each in wrapper.parameters() if each.requires_grad)
    heads = getattr(settings, "num_key_value_heads", None) or settings.num_attention_heads
    width = heads * (
        getattr(settings, "head_dim", None) or settings.hidden_size // settings.num_attention_heads
    )
    assert trained == 5 * architecture.layers_of(settings)[1] * 2 * width

    student, rows = Student(wrapper), token_rows()
    together = trained_logits(student, rows)
    torch.testing.assert_close(
        torch.cat([trained_logits(student, [row]) for row in rows]), together, rtol=1e-5, atol=1e-5
    )
    assert (trained_logits(Student(model), rows) - together).abs().max() > 0.01
    model.generation_config = transformers.GenerationConfig(
        pad_token_id=0, **architecture.architecture_of(model).generation()
    )
    written = answers(wrapper, QUESTIONS)
    assert written == [answers(wrapper, [question])[0] for question in QUESTIONS]
    assert written != answers(model, QUESTIONS)

    run = make_run(tmp_path / "run", training={"adapter": "prefix", "prefix_tokens": 5})
    spec = Spec.model_validate_json((run / "spec.json").read_text()).model_copy(
        update={"base": str(bases[name])}
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(bases[name])
    place = save_student(run, spec, adapted, tokenizer, "{{ messages[0].content }}")
    assert json.loads((place / "adapter_config.json").read_text())["base_model_name_or_path"] == "base"
    weights = place / "base" / "model.safetensors"
    assert weights.samefile(bases[name] / "model.safetensors")
    again = load_copy(place, "cpu")
    assert all(again.get_base_model().state_dict()[key].equal(tensor) for key, tensor in before.items())
    assert trained_logits(Student(again), rows).equal(together)
    assert answers(again, QUESTIONS) == written


def test_a_prefix_takes_positions_and_is_refused_where_it_does_not_fit(bases) -> None:
    from engine.students.room import positions

    model = load(bases["gpt2"])
    limit = positions(model)
    assert positions(adapt(model, PREFIX).model) == limit - 5 == positions(load(bases["gpt2"]), taken=5)
    broken = load(bases["bart"])
    broken.config.decoder_layers = 1
    with pytest.raises(
        JobFailed,
        match=r"BartForConditionalGeneration cannot be trained with a prefix \(training.prefix_tokens = 5\)",
    ):
        adapt(broken, PREFIX)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"zero_stage": 3}, "zero_stage = 3"),
        ({"activation_checkpointing": True}, "activation_checkpointing"),
        ({"packing": True}, "packed rows would see"),
        ({"compile": True}, "compile"),
        ({"lora_rank": 4}, "one adapter"),
        ({"keep_adapter": True}, "always kept"),
    ],
)
def test_what_a_prefix_does_not_go_with(given, message) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainingConfig.model_validate({"adapter": "prefix", **given})


def test_a_rank_alone_is_lora_and_lora_alone_has_a_rank() -> None:
    said = [
        TrainingConfig.model_validate(each)
        for each in ({"lora_rank": 16}, {"adapter": "lora"}, {"adapter": "lora", "lora_rank": 16})
    ]
    assert said[0] == said[1] == said[2] and said[0].adapter == "lora"
    assert TrainingConfig.model_validate(said[0].model_dump()) == said[0]
    for wrong in (
        {"adapter": "full", "lora_rank": 2},
        {"adapter": "lora", "lora_rank": 0},
        {"prefix_tokens": 3},
    ):
        with pytest.raises(ValidationError, match="adapter"):
            TrainingConfig.model_validate(wrong)
