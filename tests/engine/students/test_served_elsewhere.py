"""The files of exported students as vLLM and TGI read them. Neither runs here: these are what their code requires of the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.forms import default_settings, form_of
from engine.methods import METHODS, TrainRow
from engine.students.adapters import Adapted
from engine.students.exported_student import save_student
from engine.students.spec import Spec
from engine.students.tokenizer import leave_prompts_open
from tests.engine.forms import families
from tests.engine.students.runs import BASES, make_base, make_run
from tests.lazily import Lazy

transformers = Lazy("transformers")
architecture = Lazy("engine.students.architecture")
evaluate = Lazy("engine.students.evaluate")
base_model = Lazy("engine.students.base_model")
ROW = TrainRow(sample_id=1, question_id=1, question="Heads?", rationale="So it is.", answer="yes")
CHATS = tuple(families.FAMILIES)
SAMPLING = {"temperature", "top_k", "top_p", "min_p", "repetition_penalty", "max_new_tokens", "max_length"}
"""Settings of generation_config.json that vLLM takes for the defaults of every request."""


@pytest.fixture(scope="module", params=[*BASES, *(f"chat {name}" for name in CHATS)])
def student(request: pytest.FixtureRequest, bases: dict, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """A base of each family, exported in its form as a run does it, and the form."""
    folder, name = tmp_path_factory.mktemp("export"), request.param
    base = bases.get(name) or make_base(
        folder / "base", "llama", families.make_tokenizer(name.removeprefix("chat "))
    )
    model, tokenizer = base_model.load_model(str(base)), transformers.AutoTokenizer.from_pretrained(base)
    translates = architecture.is_encoder_decoder(model.config)
    if not translates:
        leave_prompts_open(tokenizer)
    settings = default_settings(template=bool(tokenizer.chat_template), encoder_decoder=translates)
    method = METHODS["fine-tune-cot"]
    form = form_of(settings).open(
        settings, method, tokenizer, encoder_decoder=translates, note=lambda _: None
    )
    evaluate.prepare_generation(model, tokenizer, form)
    spec = Spec.model_validate_json((make_run(folder / "run") / "spec.json").read_text())
    return save_student(folder / "run", spec, Adapted(model, None), tokenizer, form.template), form, tokenizer


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / name).read_text())


def test_one_chat_template_where_all_look_for_it(student: tuple) -> None:
    folder, form, _ = student
    assert read(folder, "tokenizer_config.json")["chat_template"] == form.template
    assert not [
        *folder.glob("*.jinja"),
        *folder.glob("chat_template*"),
        *folder.glob("additional_chat_templates"),
    ]
    assert transformers.AutoTokenizer.from_pretrained(folder).chat_template == form.template


def test_generation_ends_where_a_turn_ends_and_is_greedy(student: tuple) -> None:
    folder, form, tokenizer = student
    found = read(folder, "generation_config.json")
    ends = found["eos_token_id"]
    assert (ends if isinstance(ends, list) else [ends]) == list(form.ends) and form.ends
    assert found.get("do_sample") in (None, False) and not SAMPLING & found.keys()
    [(_, completion)] = form.row_ids([ROW])
    assert completion[-1] in form.ends, "what is learned ends with a token that ends generation"
    for token in ("eos_token", "bos_token", "pad_token"):
        text = read(folder, "tokenizer_config.json").get(token)
        assert text is None or isinstance(text, str), "TGI reads texts"
        assert text is None or tokenizer.convert_tokens_to_ids(text) is not None


def test_the_configuration_says_what_is_loaded_and_how(student: tuple) -> None:
    folder, _, tokenizer = student
    config = read(folder, "config.json")
    [name] = config["architectures"]
    assert hasattr(transformers, name) and config["model_type"]
    assert config["dtype"] == config["torch_dtype"] == "float32"
    assert "auto_map" not in config and "quantization_config" not in config
    assert "_name_or_path" not in config and not [*folder.glob("*.py"), *folder.glob("*.bin")]
    assert "auto_map" not in read(folder, "tokenizer_config.json")
    if not config.get("is_encoder_decoder"):
        positions = config.get("max_position_embeddings") or config["n_positions"]
        assert 16 <= positions <= 10_000_000
        most = read(folder, "tokenizer_config.json").get("model_max_length", positions)
        assert most >= positions, "vLLM takes the smaller one"
    assert config["vocab_size"] >= len(tokenizer)
    assert [*folder.glob("*.safetensors")] and (folder / "tokenizer.json").is_file(), (
        "TGI's router reads tokenizer.json"
    )
