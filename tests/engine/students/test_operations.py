"""Students made from students: in this process, on tiny models whose weights differ."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.config.students import EvaluationConfig, TrainingConfig
from engine.forms import FIRST
from engine.students.operations import OPERATIONS
from engine.students.operations.base import Member, tokenizer_digest
from engine.students.progress_file import ProgressWriter
from engine.students.spec import SourceStudent, Spec, digest_of, write_rows
from tests.engine.students.runs import CORE, COT, events, make_base, paper, rows
from tests.lazily import Lazy

torch, transformers = Lazy("torch"), Lazy("transformers")
architecture = Lazy("engine.students.architecture")
evaluate, train = Lazy("engine.students.evaluate"), Lazy("engine.students.train")
ensemble, exported = Lazy("engine.students.logit_ensemble"), Lazy("engine.students.exported_student")
tokens = Lazy("engine.students.token_rows")

QUESTIONS = [row.question for row in rows()[1]]


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Three exported students of each family: one beginning, other weights."""
    folder = tmp_path_factory.mktemp("families")
    found: dict[str, list[Path]] = {}
    for kind in CORE:
        base = make_base(folder / kind, kind)
        members = []
        for seed in (1, 2, 3):
            place = folder / f"{kind}-{seed}" / "student"
            shutil.copytree(base, place)
            model = exported.load_copy(base, "cpu")
            tokenizer = transformers.AutoTokenizer.from_pretrained(base)
            evaluate.prepare_generation(model, tokenizer, form_of(model, tokenizer))
            torch.manual_seed(seed)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(torch.randn_like(parameter) * 0.03)
            model.save_pretrained(place)
            members.append(place)
        found[kind] = members
    return found


def form_of(model: Any, tokenizer: Any) -> Any:
    return paper(tokenizer, architecture.architecture_of(model) is not architecture.DECODER)


def written(model: Any, place: Path, **config: Any) -> list[str]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    asked = evaluate.writer(
        model,
        tokenizer,
        form_of(model, tokenizer),
        EvaluationConfig(max_new_tokens=10, batch_size=4, **config),
        stopping=lambda: False,
    )
    return [each.text for each in asked(QUESTIONS, None)]


def losses(model: Any, place: Path) -> Any:
    """The loss of each learned token of some rows, in nats."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    kind = architecture.architecture_of(model)
    learned, _ = tokens.tokenize(form_of(model, tokenizer), rows()[0][:20], max_length=60)
    batch = kind.collate(learned, 0)
    inputs = {name: torch.from_numpy(value) for name, value in batch.inputs.items()}
    with torch.inference_mode():
        found = kind.logits(model, inputs).float().log_softmax(-1)
    kept = found.reshape(-1, found.shape[-1])[torch.from_numpy(batch.keep)]
    return -kept.gather(1, torch.from_numpy(batch.targets)[:, None])[:, 0]


@pytest.mark.parametrize("kind", CORE)
def test_an_ensemble_answers_as_its_members_do_together(families: dict[str, list[Path]], kind: str) -> None:
    places = families[kind]
    models = [exported.load_copy(place, "cpu") for place in places]
    alone = ensemble.LogitEnsemble(models[:1])
    one = written(models[0], places[0])
    assert written(alone, places[0]) == one, "one member is itself"
    three = ensemble.LogitEnsemble(models)
    together = written(three, places[0])
    assert together == written(ensemble.LogitEnsemble(models[::-1]), places[0]), "in any order"
    assert together == written(three, places[0], batching="continuous")
    assert together != one
    own = [float(losses(model, place).mean()) for model, place in zip(models, places, strict=True)]
    mean = sum(own) / 3
    assert float(losses(three, places[0]).mean()) < mean
    if kind == "llama":
        torch.manual_seed(0)
        [ids] = [[1, 2, 3]]
        drawn = three.generate(
            torch.tensor([ids] * 3), torch.ones(3, 3, dtype=torch.long), 5, do_sample=True, temperature=1.0
        )
        assert drawn.shape[1] <= 8 and len({tuple(row) for row in drawn.tolist()}) > 1


def source(place: Path, number: int, **values: Any) -> SourceStudent:
    return SourceStudent(
        **{
            **{"run_id": number, "student": f"s{number}", "scope": "joint", "role": "member"},
            **{"directory": str(place), "rows": "", "method": COT.name, "form": FIRST},
            **{"base": "builtin:nano", "ancestors": (9,)},
            **values,
        }
    )


def test_what_does_not_go_together_is_refused_with_the_reason(
    families: dict[str, list[Path]], tmp_path: Path
) -> None:
    one, two, _ = families["llama"]
    merge, together = OPERATIONS["merge"], OPERATIONS["ensemble"]
    assert together.refusal([source(one, 1), source(two, 2)]) == ""
    assert merge.refusal([source(one, 1), source(two, 2)]) == ""
    swapped = Path(shutil.copytree(two, tmp_path / "swapped"))
    description = json.loads((swapped / "tokenizer.json").read_text())
    vocabulary = description["model"]["vocab"]
    first, second = sorted(vocabulary, key=vocabulary.get)[-2:]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (swapped / "tokenizer.json").write_text(json.dumps(description))
    assert tokenizer_digest(swapped) != tokenizer_digest(two)
    assert together.refusal([source(one, 1), source(swapped, 2)]).startswith(
        "run 1 (s1 on joint) and run 2 (s2 on joint) have other tokenizers: the same numbers mean other words."
    )
    assert "other architectures: " in merge.refusal([source(one, 1), source(families["qwen"][0], 2)])
    assert together.refusal([source(one, 1), source(families["qwen"][0], 2)]) == "", "one tokenizer is enough"
    apart = merge.refusal([source(one, 1, ancestors=()), source(two, 2, ancestors=())])
    assert "have no common ancestor: they begin with other weights" in apart
    hub = {"base": "some/model", "ancestors": ()}
    assert merge.refusal([source(one, 1, **hub), source(two, 2, **hub)]) == ""
    assert merge.refusal([source(one, 9, ancestors=()), source(two, 2)]) == "", "one comes from the other"
    assert "another method, or another form" in together.refusal(
        [source(one, 1), source(two, 2, method="fine-tune")]
    )


def test_what_the_configuration_tells_is_refused_before_anything_runs() -> None:
    def said(name: str, *members: tuple[str, str, str]) -> str:
        return OPERATIONS[name].misfit(
            [Member(name=key, method=method, chain=(key, "warm") if base == "warm" else (key,), base="builtin:nano" if base == "warm" else base)
             for key, method, base in members]
        )  # fmt: skip

    assert said("ensemble", ("a", "m", "warm"), ("b", "m", "warm")) == ""
    assert said("ensemble", ("a", "m", "some/model"), ("b", "m", "other/model")) == ""
    assert "have the same tokenizer" in said(
        "ensemble", ("a", "m", "builtin:nano"), ("b", "m", "builtin:micro")
    )
    assert "have the same tokenizer" in said("ensemble", ("a", "m", "builtin:nano"), ("b", "m", "some/model"))
    assert "write other texts" in said("ensemble", ("a", "m", "warm"), ("b", "n", "warm"))
    assert "is made anew for each run" in said(
        "merge", ("a", "m", "builtin:nano"), ("b", "m", "builtin:nano")
    )
    assert said("merge", ("a", "m", "warm"), ("b", "m", "warm")) == ""
    assert "same initial weights" in said("merge", ("a", "m", "some/model"), ("b", "m", "other/model"))
    assert said("merge", ("a", "m", "warm")) == "merge needs at least 2 students"


def make_derived(directory: Path, kind: str, places: list[Path], **settings: Any) -> Path:
    """A run directory of an operation."""
    directory.mkdir(parents=True)
    write_rows(directory / "manifest.jsonl", [])
    write_rows(directory / "questions.jsonl", rows()[1])
    operation = OPERATIONS[kind]
    made = operation.settings.model_validate({"name": "derived", "make": kind, "of": ["a"], **settings})
    spec = Spec(
        run_id=8,
        student="derived",
        scope="joint",
        trigger="sources",
        method=COT.name,
        base=str(places[0]),
        training=TrainingConfig(seed=made.seed),
        evaluation=EvaluationConfig(max_new_tokens=6, samples=2),
        manifest_digest=digest_of([]),
        kind=kind,
        operation=made.model_dump(mode="json"),
        sources=tuple(source(place, number) for number, place in enumerate(places, 1)),
    )
    (directory / "spec.json").write_text(spec.to_json())
    return directory


def content(student: Path) -> dict[str, str]:
    return {
        str(path.relative_to(student)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(student.rglob("*"))
        if path.is_file()
    }


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the program catches it."""


@pytest.mark.parametrize("kind", ["ensemble", "merge"])
def test_a_derived_run_that_dies_in_any_phase_ends_with_the_same_bytes(
    families: dict[str, list[Path]], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = families["llama"]
    whole = make_derived(tmp_path / "whole", kind, places)
    assert train.main([str(whole)]) == 0
    assert [event["phase"] for event in events(whole, "phase")] == ["making", "exporting", "evaluating"]
    assert events(whole)[-1]["event"] == "done" and not (whole / "work").exists()
    expected = content(whole / "student")
    deaths = ["phase:making", "made", "phase:exporting", "phase:evaluating", "eval", "exported"]
    deaths += ["checkpoint"] if kind == "merge" else []
    write, armed = ProgressWriter.write, ""

    def dying(self: ProgressWriter, event: str, **fields: Any) -> None:
        nonlocal armed
        write(self, event, **fields)
        if armed == (f"{event}:{fields['phase']}" if event == "phase" else event):
            armed = ""
            raise Killed

    monkeypatch.setattr(ProgressWriter, "write", dying)
    for death in deaths:
        armed = death
        directory = make_derived(tmp_path / death.replace(":", "-"), kind, places)
        with pytest.raises(Killed):
            train.main([str(directory)])
        if death == "checkpoint":
            kept = directory / "work" / "sum-1"
            assert (kept / "COMPLETE").exists()
            loaded: list[str] = []
            monkeypatch.setattr(exported, "load_copy", counting(exported.load_copy, loaded))
        assert train.main([str(directory)]) == 0
        if death == "checkpoint":
            assert Path(loaded[0]) == places[1], "the first was added already"
        assert content(directory / "student") == expected, death
        assert (directory / "predictions.jsonl").read_bytes() == (whole / "predictions.jsonl").read_bytes()
    # A finished one is left as it is, and asked again with another evaluation.
    before = content(whole / "student")
    assert train.main([str(whole)]) == 0 and content(whole / "student") == before
    spec = Spec.model_validate_json((whole / "spec.json").read_bytes())
    other = spec.model_copy(update={"evaluation": spec.evaluation.model_copy(update={"max_new_tokens": 4})})
    (whole / "spec.json").write_text(other.to_json())
    assert train.main([str(whole)]) == 0
    assert "max_new_tokens=4" in (whole / "student" / "README.md").read_text()
    assert json.loads((whole / "evaluation.json").read_text())["evaluation"]["max_new_tokens"] == 4


def counting(load: Callable[..., Any], loaded: list[str]) -> Callable[..., Any]:
    def counted(copy: Path, device: Any) -> Any:
        loaded.append(str(copy))
        return load(copy, device)

    return counted


def test_a_merged_student_is_the_mean_and_an_ensemble_keeps_its_members(
    families: dict[str, list[Path]], tmp_path: Path
) -> None:
    places = families["gpt2"]
    merged = make_derived(tmp_path / "merged", "merge", places[:2])
    assert train.main([str(merged)]) == 0
    one, two, mean = (
        exported.load_copy(place, "cpu").state_dict() for place in (*places[:2], merged / "student")
    )
    for name, tensor in mean.items():
        assert torch.allclose(tensor, (one[name] + two[name]) / 2, atol=1e-6), name
    [made] = events(merged, "made")
    assert made["figures"]["students"] == 2 and made["figures"]["distance"] > 0
    card = (merged / "student" / "README.md").read_text()
    assert "| made from | run 1 (s1 on joint), run 2 (s2 on joint) |" in card and "from_pretrained" in card
    kept = make_derived(tmp_path / "kept", "ensemble", places)
    assert train.main([str(kept)]) == 0
    student = kept / "student"
    assert json.loads((student / "members.json").read_text()) == {"make": "ensemble", "like": "members/1"}
    for number, place in enumerate(places, 1):
        own, linked = (folder / "model.safetensors" for folder in (place, student / "members" / str(number)))
        assert own.stat().st_ino == linked.stat().st_ino, "no weights are written twice"
    answers = [json.loads(line) for line in (kept / "predictions.jsonl").read_text().splitlines()]
    together = written(exported.load_copy(student, "cpu"), places[0])
    by_question = {answer["question_id"]: answer["text"] for answer in answers}
    for row, text in zip(rows()[1], together, strict=True):
        assert text.startswith(by_question[row.question_id]), "the copy answers as its evaluation did"
