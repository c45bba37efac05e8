from __future__ import annotations

from types import SimpleNamespace

import pytest

from engine.students.token_rows import MicroBatch, tokenize
from tests.engine.students.runs import paper, rows
from tests.lazily import Lazy

torch, transformers = Lazy("torch"), Lazy("transformers")
architecture = Lazy("engine.students.architecture")
objective, packing = Lazy("engine.students.objective"), Lazy("engine.students.packing")

KEEPING = ("gpt2", "llama", "qwen", "qwen3", "gemma", "phi", "t5")


def load(base, attention: str | None = None) -> tuple[objective.Student, list]:
    config = transformers.AutoConfig.from_pretrained(base)
    model = architecture.auto_class(config).from_pretrained(base, attn_implementation=attention).eval()
    kind = architecture.architecture_of(model)
    taught, _ = tokenize(
        paper(transformers.AutoTokenizer.from_pretrained(base), kind is not architecture.DECODER),
        rows()[0][:7],
        max_length=100,
    )
    return objective.Student(model, kind), taught


def gradients(student: objective.Student, *batches: MicroBatch) -> tuple[float, dict[str, torch.Tensor]]:
    student.zero_grad()
    total = 0.0
    for batch in batches:
        loss = student(*packing.on_device(batch, torch.device("cpu")), 0.1)
        loss.backward()
        total += float(loss.detach())
    return total, {
        name: parameter.grad.clone()
        for name, parameter in student.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", KEEPING)
def test_packed_rows_have_the_logits_and_gradients_of_rows_alone(bases, name, attention) -> None:
    student, taught = load(bases[name], attention)
    kind = student.architecture
    packed = kind.pack(taught)
    with torch.no_grad():
        together = student.logits(*packing.on_device(packed, torch.device("cpu"))[:2])
        alone = torch.cat(
            [
                student.logits(*packing.on_device(kind.collate([row], 0), torch.device("cpu"))[:2])
                for row in taught
            ]
        )
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    assert packed.targets.tolist() == [int(token) for row in taught for token in row.ids[row.prompt :]]
    loss, found = gradients(student, packed)
    reference, expected = gradients(student, *(kind.collate([row], 0) for row in taught))
    assert loss == pytest.approx(reference, rel=1e-5)
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-3, atol=2e-4)
    assert packing.mixes(student, packing.sample(taught), pad=0, device=torch.device("cpu")) == ""


def test_packed_rows_have_no_padding(bases) -> None:
    for name in ("llama", "t5"):
        student, taught = load(bases[name])
        batch = student.architecture.pack(taught)
        two_sides = architecture.READ in batch.inputs
        held = sum(len(row.ids) for row in taught) - (0 if two_sides else len(taught))
        sides = ("input_ids", "decoder_input_ids") if two_sides else ("input_ids",)
        assert sum(batch.inputs[side].size for side in sides) == held


@pytest.mark.parametrize("careless", ["masked", "continued"])
def test_rows_that_see_each_other_are_found(bases, careless) -> None:
    class Masked(architecture.Decoder):
        """What a collator does that does not know better: a mask of ones."""

        def pack(self, rows) -> MicroBatch:
            batch = super().pack(rows)
            mask = {"attention_mask": batch.inputs["input_ids"] * 0 + 1}
            return MicroBatch(batch.inputs | mask, batch.keep, batch.targets)

    class Continued(architecture.Decoder):
        """Positions that go on from row to row."""

        def pack(self, rows) -> MicroBatch:
            batch = super().pack(rows)
            return MicroBatch({"input_ids": batch.inputs["input_ids"]}, batch.keep, batch.targets)

    student, taught = load(bases["llama"])
    student.architecture = Masked() if careless == "masked" else Continued()
    assert (
        packing.mixes(student, packing.sample(taught), pad=0, device=torch.device("cpu"))
        == "rows see the ones before them"
    )


def test_positions_that_do_not_begin_anew_are_found(bases) -> None:
    class Shifted(architecture.Decoder):
        def pack(self, rows) -> MicroBatch:
            batch = super().pack(rows)
            # Two steps from row to row tell rows apart as well, but GPT-2 has learned each position.
            shift = (batch.inputs["position_ids"] == 0).cumsum(-1)
            later = {"position_ids": batch.inputs["position_ids"] + shift}
            return MicroBatch(batch.inputs | later, batch.keep, batch.targets)

    student, taught = load(bases["gpt2"])
    student.architecture = Shifted()
    assert "logits differ from those of rows alone by" in packing.mixes(
        student, packing.sample(taught), pad=0, device=torch.device("cpu")
    )


def test_an_architecture_with_positions_of_its_own_is_refused(bases) -> None:
    student, taught = load(bases["bart"])
    assert "logits differ" in packing.mixes(
        student, packing.sample(taught), pad=0, device=torch.device("cpu")
    )


def test_few_rows_make_a_sample(bases) -> None:
    _, taught = load(bases["llama"])
    assert [len(row.ids) for row in packing.sample(taught)] == sorted({len(row.ids) for row in taught})[:3][
        ::-1
    ]
    assert len(packing.sample(taught[:1])) == 2


def test_packing_is_for_gpus_unless_it_is_asked_for() -> None:
    gpu = SimpleNamespace(type="cuda")
    for packed, on_cpu, on_gpu in (("auto", False, True), (True, True, True), (False, False, False)):
        training = SimpleNamespace(packing=packed, adapter="full")
        assert packing.wanted(training, torch.device("cpu"), "sdpa") == on_cpu
        assert packing.wanted(training, gpu, "flash_attention_2") == on_gpu
        assert packing.wanted(training, gpu, "sdpa") == (packed is True), (
            "a line's square, where padding costs little"
        )


def test_logits_that_are_changed_after_the_head_are_not_cut(bases) -> None:
    student, taught = load(bases["llama"])
    assert packing.chunks_agree(student, taught[:3], pad=0, device=torch.device("cpu"))
    kind = student.architecture = architecture.Decoder()
    plain = kind.logits
    object.__setattr__(
        kind, "logits", lambda model, inputs: 3 * torch.tanh(plain(model, inputs) / 3)
    )  # as Gemma 2 does
    assert not packing.chunks_agree(student, taught[:3], pad=0, device=torch.device("cpu"))
    assert architecture.DECODER.logits is not kind.logits
