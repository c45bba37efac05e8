"""Merging and pruning on every family of models: what is computed, and that the result is an ordinary checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.errors import JobFailed
from engine.students.operations import OPERATIONS
from engine.students.spec import Spec, write_rows
from tests.engine.students.runs import events, make_base, rows
from tests.engine.students.test_operations import Killed, content, form_of, make_derived, source
from tests.lazily import Lazy

torch, transformers, safetensors = Lazy("torch"), Lazy("transformers"), Lazy("safetensors")
activations, regmean = Lazy("engine.students.activations"), Lazy("engine.students.regmean")
pruning, feed_forward = Lazy("engine.students.pruning"), Lazy("engine.students.feed_forward")
architecture, tokens = Lazy("engine.students.architecture"), Lazy("engine.students.token_rows")
evaluate, exported, train = (
    Lazy(f"engine.students.{name}") for name in ("evaluate", "exported_student", "train")
)

KINDS = ["gpt2", "llama", "qwen", "gemma", "t5", "t5-gated"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes")


def branches(folder: Path, kind: str) -> list[Path]:
    """Two exported students of a family that began with the same weights, and learned the same rows in this order or that."""
    places = [folder / f"{kind}-{seed}" / "student" for seed in (1, 2)]
    if places[0].exists():
        return places
    base = make_base(folder / kind, kind.removesuffix("-gated"))
    if kind.endswith("-gated"):
        config = transformers.AutoConfig.from_pretrained(base, feed_forward_proj="gated-gelu")
        torch.manual_seed(0)
        transformers.AutoModelForSeq2SeqLM.from_config(config).save_pretrained(base)
    for seed, place in enumerate(places, 1):
        shutil.copytree(base, place)
        model = exported.load_copy(base, "cpu")
        tokenizer = transformers.AutoTokenizer.from_pretrained(base)
        evaluate.prepare_generation(model, tokenizer, form_of(model, tokenizer))
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
        model.save_pretrained(place)
        write_rows(place.parent / "manifest.jsonl", rows()[0][seed::2])
    return places


def operate(directory: Path, kind: str, places: list[Path], **settings: Any) -> Path:
    """A run directory of an operation whose sources have rows."""
    made = make_derived(directory, kind, places, **settings)
    spec = Spec.model_validate_json((made / "spec.json").read_bytes())
    sources = tuple(
        source(place, number, rows=str(place.parent / "manifest.jsonl"))
        for number, place in enumerate(places, 1)
    )
    (made / "spec.json").write_text(spec.model_copy(update={"sources": sources}).to_json())
    return made


def made(directory: Path) -> dict[str, float]:
    [event] = events(directory, "made")
    return dict(event["figures"])


def as_servers_see_it(student: Path) -> tuple[list[str], list[str]]:
    """What vLLM and others go by beside the widths in the configuration: the architecture's name, and the names of the tensors."""
    config = json.loads((student / "config.json").read_text())
    names: list[str] = []
    for path in sorted(student.glob("*.safetensors")):
        with safetensors.safe_open(path, "pt") as file:
            names += file.keys()
    assert names, "no weights"
    return config["architectures"], sorted(names)


def test_one_layer_merges_to_what_all_rows_together_would_have_given() -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(50 + 30 * number, 6, dtype=torch.float64) for number in range(3)]
    weights = [torch.randn(6, 4, dtype=torch.float64) for _ in inputs]
    grams = [each.T @ each for each in inputs]
    outputs = torch.cat([each @ weight for each, weight in zip(inputs, weights, strict=True)])
    pooled = torch.linalg.lstsq(torch.cat(inputs), outputs).solution
    assert torch.allclose(regmean.solved(grams, weights, 1.0, 0.0), pooled, atol=1e-12)
    merged = regmean.solved(grams, weights, 1.0)
    assert torch.allclose(merged, pooled, atol=1e-8)
    assert torch.allclose(regmean.solved(grams[::-1], weights[::-1], 1.0), merged, atol=1e-12)
    mean = torch.stack(weights).mean(0)
    assert torch.allclose(
        regmean.solved([torch.eye(6, dtype=torch.float64)] * 3, weights, 0.3), mean, atol=1e-14
    )
    assert regmean.objective(grams, weights, merged) < regmean.objective(grams, weights, mean)
    nothing = torch.zeros(6, 6, dtype=torch.float64)
    assert torch.allclose(regmean.solved([nothing] * 3, weights, 1.0), mean), "where the rows say nothing"


@pytest.mark.parametrize("kind", KINDS)
def test_students_are_merged_by_their_own_rows(folder: Path, kind: str, tmp_path: Path) -> None:
    places = branches(folder, kind)
    run = operate(tmp_path / "run", "merge", places, merge={"rule": "regmean", "alpha": 1.0})
    assert train.main([str(run)]) == 0
    figures = made(run)
    assert 0 < figures["objective"] < figures["objective_mean"]
    assert {"mean_dev", "mean_test"} <= figures.keys() and figures["alpha"] == 1.0
    assert as_servers_see_it(run / "student") == as_servers_see_it(places[0])
    merged = exported.load_copy(run / "student", "cpu").state_dict()
    one, two = (exported.load_copy(place, "cpu").state_dict() for place in places)
    layers = {f"{name}.weight" for name in activations.linear_layers(exported.load_copy(places[0], "cpu"))}
    for name, tensor in merged.items():
        mean = (one[name] + two[name]) / 2
        assert torch.allclose(tensor, mean, atol=1e-6) != (name in layers), name
    if kind in ("llama", "t5"):
        other = operate(tmp_path / "other", "merge", places[::-1], merge={"rule": "regmean", "alpha": 1.0})
        assert train.main([str(other)]) == 0
        turned = exported.load_copy(other / "student", "cpu").state_dict()
        assert all(torch.allclose(turned[name], tensor, atol=1e-6) for name, tensor in merged.items())
        blocks = operate(
            tmp_path / "blocks", "merge", places, merge={"rule": "regmean++", "alpha": [1.0, 0.5]}
        )
        assert train.main([str(blocks)]) == 0
        figures = made(blocks)
        assert figures["objective"] < figures["objective_mean"] and figures["alpha"] in (1.0, 0.5)
        assert {"dev_alpha_1", "dev_alpha_0.5"} <= figures.keys()


def test_padding_and_transposes_are_no_matter(folder: Path) -> None:
    """Rows that are read one by one, and together, have the same Gram matrices; a Conv1D is not transposed."""
    [place, _] = branches(folder, "gpt2")
    model = exported.load_copy(place, "cpu")
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    learned, _ = tokens.tokenize(form_of(model, tokenizer), rows()[0][:12], max_length=60)
    kind = architecture.architecture_of(model)
    found = []
    for batches in (activations.even_batches(learned, kind), [kind.collate([row], 0) for row in learned]):
        grams = activations.Grams()
        with activations.watched(activations.linear_layers(model), grams.add):
            activations.read(model, kind, batches, lambda: None)
        found.append(grams.means())
    assert len({len(row.ids) for row in learned}) > 1, "they are of several lengths"
    for name, gram in found[0].items():
        assert torch.allclose(gram, found[1][name], atol=1e-6), name
    layers = activations.linear_layers(model)
    name = "transformer.h.0.mlp.c_fc"
    weight = activations.weight_of(layers[name])
    assert weight.shape == (16, 64)
    activations.set_weight(layers[name], weight * 2)
    assert torch.equal(activations.weight_of(layers[name]), weight * 2)


def test_a_merge_that_dies_goes_on_from_its_gram_matrices(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = branches(folder, "llama")
    settings = {"merge": {"rule": "regmean", "alpha": [1.0, 0.1]}, "calibration": 9}
    whole = operate(tmp_path / "whole", "merge", places, **settings)
    assert train.main([str(whole)]) == 0
    assert made(whole)["rows"] <= 18
    grams_of, counted = regmean.grams_of, []

    def dying(*arguments: Any) -> Any:
        counted.append(1)
        if len(counted) == 2:
            raise Killed
        return grams_of(*arguments)

    monkeypatch.setattr(regmean, "grams_of", dying)
    run = operate(tmp_path / "run", "merge", places, **settings)
    with pytest.raises(Killed):
        train.main([str(run)])
    assert train.main([str(run)]) == 0 and len(counted) == 3, "the first was read already"
    assert content(run / "student") == content(whole / "student")


def test_what_cannot_be_merged_by_rows_says_why(folder: Path, tmp_path: Path) -> None:
    run = make_derived(tmp_path / "run", "merge", branches(folder, "llama"), merge={"rule": "regmean"})
    assert train.main([str(run)]) != 0
    [failed] = events(run, "failed")
    assert failed["message"].startswith("run 1 (s1 on joint) has no rows of its own")
    bare = Path(shutil.copytree(branches(folder, "llama")[0], tmp_path / "prefix"))
    (bare / "adapter_config.json").write_text("{}")
    for name in ("merge", "prune", "prompt"):
        refused = OPERATIONS[name].refusal([source(bare, 1)])
        assert refused == "run 1 (s1 on joint) is a prefix on its base, not a model of its own: name its base"
    settings = OPERATIONS["merge"].settings
    for wrong, said in (
        ({"merge": {"alpha": 0.5}}, "no effect with rule"),
        ({"calibration": 9}, "no effect with merge.rule"),
        ({"merge": {"rule": "regmean", "alpha": []}}, "at least 1 item"),
        ({"merge": {"rule": "regmean", "alpha": 1.5}}, "less than or equal to 1"),
    ):
        with pytest.raises(ValueError, match=said):
            settings.model_validate({"name": "x", "make": "merge", "of": ["a"], **wrong})


def learned_by(place: Path) -> tuple[Any, Any, list[Any]]:
    """A student with its architecture, and the rows that it has learned, in batches."""
    model = exported.load_copy(place, "cpu")
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    learned, _ = tokens.tokenize(form_of(model, tokenizer), rows()[0][:20], max_length=60)
    kind = architecture.architecture_of(model)
    return model, kind, activations.even_batches(learned, kind)


WIDTHS = {"gpt2": "n_inner", "t5": "d_ff", "t5-gated": "d_ff"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_pruned_student_is_smaller_and_an_ordinary_checkpoint(
    folder: Path, kind: str, tmp_path: Path
) -> None:
    model, of, batches = learned_by(branches(folder, kind)[0])
    seen = pruning.observe(model, of, batches, seed=0, check=lambda: None)
    before = sum(each.numel() for each in model.parameters())
    inputs = {name: torch.from_numpy(value) for name, value in batches[-1].inputs.items()}
    lost = {}
    for refit in (False, True):
        small = exported.load_copy(branches(folder, kind)[0], "cpu")
        told = pruning.prune(small, seen, share=0.25, criterion="activation", refit=refit, seed=0)
        lost[refit] = told["objective"]
    width = 64 if kind == "gpt2" else 32
    assert (told["neurons_before"], told["neurons"]) == (width, width * 3 // 4)
    assert 0 < lost[True] < lost[False] < 1
    shape, networks = feed_forward.networks_of(small)
    each = 16 * (len(shape.into) + 1) + (1 if kind == "gpt2" else 0)  # the bias of c_fc goes too
    assert before - sum(each.numel() for each in small.parameters()) == len(networks) * (width // 4) * each
    small.save_pretrained(tmp_path)
    assert (
        json.loads((tmp_path / "config.json").read_text())[WIDTHS.get(kind, "intermediate_size")]
        == width * 3 // 4
    )
    assert as_servers_see_it(tmp_path) == as_servers_see_it(branches(folder, kind)[0])
    again = exported.load_copy(tmp_path, "cpu")
    with torch.inference_mode():
        assert torch.equal(of.logits(again, inputs), of.logits(small.eval(), inputs)), "to the bit"
    assert again.generate(inputs["input_ids"][:1], max_new_tokens=3).shape[0] == 1


def doubled(model: Any, count: int) -> list[tuple[int, int]]:
    """Makes some neurons of each network the copies of others, rescaled, so that the function stays: the pairs."""
    pairs = [(2 * number, 2 * number + 1) for number in range(count)]
    _, networks = feed_forward.networks_of(model)
    for network in networks:
        up, out = activations.weight_of(network.into[-1]), activations.weight_of(network.out)
        gate = activations.weight_of(network.into[0])
        for one, other in pairs:
            gate[:, other] = gate[:, one]
            up[:, other] = 3.0 * up[:, one]
        activations.set_weight(network.into[0], gate)
        activations.set_weight(network.into[-1], up)
        activations.set_weight(network.out, out)
    return pairs


def test_mutual_information_finds_duplicates_and_refitting_makes_up_for_them(folder: Path) -> None:
    model, of, batches = learned_by(branches(folder, "llama")[0])
    pairs = doubled(model, 8)
    inputs = {name: torch.from_numpy(value) for name, value in batches[-1].inputs.items()}
    with torch.inference_mode():
        before = of.logits(model, inputs)
    seen = pruning.observe(model, of, batches, seed=0, check=lambda: None)
    shape, networks = feed_forward.networks_of(model)
    for network in networks:
        gone = set(pruning.by_mutual_information(network, seen[network.name], torch.Generator())[:8].tolist())
        assert all(len(gone & set(pair)) == 1 for pair in pairs), "one of each pair"
        at_random = pruning.at_random(network, seen[network.name], torch.Generator().manual_seed(0))
        assert sorted(at_random.tolist()) == list(range(32))
    pruning.prune(model, seen, share=0.25, criterion="mutual-information", refit=True, seed=0)
    with torch.inference_mode():
        assert torch.allclose(of.logits(model, inputs), before, atol=1e-3), "nothing was lost"
    assert shape.width == "intermediate_size" and model.config.intermediate_size == 24


def test_how_many_neurons_stay_and_what_cannot_be_pruned(folder: Path) -> None:
    assert [pruning.kept_of(width, 0.25) for width in (32, 96, 1536)] == [24, 72, 1152]
    assert pruning.kept_of(1100, 0.3) % 8 == 0
    for width, share in ((32, 0.001), (3, 0.9)):
        with pytest.raises(JobFailed, match="choose another share"):
            pruning.kept_of(width, share)
    base = make_base(folder / "phi", "phi")
    with pytest.raises(JobFailed, match="no feed-forward networks of a known shape"):
        feed_forward.networks_of(exported.load_copy(base, "cpu"))
    with pytest.raises(ValueError, match="less than 1"):
        OPERATIONS["prune"].settings.model_validate(
            {"name": "x", "make": "prune", "of": ["a"], "prune": {"share": 1.0}}
        )


def test_a_pruning_that_dies_goes_on_from_what_it_measured(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [place, _] = branches(folder, "llama")
    settings = {"prune": {"share": [0.25, 0.5]}}
    whole = operate(tmp_path / "whole", "prune", [place], **settings)
    assert train.main([str(whole)]) == 0
    figures = made(whole)
    assert figures["share"] in (0.25, 0.5) and {"dev_share_0.25", "dev_share_0.5"} <= figures.keys()
    assert figures["bytes"] < figures["bytes_before"] and figures["flops"] < figures["flops_before"]
    card = (whole / "student" / "README.md").read_text()
    assert "fewer neurons" in card and "| neurons | " in card
    observe, counted = pruning.observe, []

    def counting(*arguments: Any, **named: Any) -> Any:
        counted.append(1)
        return observe(*arguments, **named)

    def dying(*_arguments: Any, **_named: Any) -> Any:
        raise Killed

    monkeypatch.setattr(pruning, "observe", counting)
    run = operate(tmp_path / "run", "prune", [place], **settings)
    with monkeypatch.context() as patched:
        patched.setattr(pruning, "prune", dying)
        with pytest.raises(Killed):
            train.main([str(run)])
    assert train.main([str(run)]) == 0 and len(counted) == 1, "it was measured once"
    assert content(run / "student") == content(whole / "student")
