from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoTokenizer

from engine.students.architecture import DECODER, READ, Decoder, architecture_of, auto_class
from engine.students.objective import Student
from engine.students.packing import chunks_agree, mixes, on_device, sample, wanted
from engine.students.token_rows import MicroBatch, tokenize
from tests.engine.students.runs import COT, rows

CPU = torch.device("cpu")
KEEPING = ("gpt2", "llama", "qwen", "qwen3", "gemma", "phi", "t5")


def load(base, attention: str | None = None) -> tuple[Student, list]:
    config = AutoConfig.from_pretrained(base)
    model = auto_class(config).from_pretrained(base, attn_implementation=attention).eval()
    kind = architecture_of(model)
    taught, _ = tokenize(
        AutoTokenizer.from_pretrained(base),
        rows()[0][:7],
        max_length=100,
        method=COT,
        prompt_format=kind.prompt_format,
    )
    return Student(model, kind), taught


def gradients(student: Student, *batches: MicroBatch) -> tuple[float, dict[str, torch.Tensor]]:
    student.zero_grad()
    total = 0.0
    for batch in batches:
        loss = student(*on_device(batch, CPU), 0.1)
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
        together = student.logits(*on_device(packed, CPU)[:2])
        alone = torch.cat([student.logits(*on_device(kind.collate([row], 0), CPU)[:2]) for row in taught])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    assert packed.targets.tolist() == [int(token) for row in taught for token in row.ids[row.prompt :]]
    loss, found = gradients(student, packed)
    reference, expected = gradients(student, *(kind.collate([row], 0) for row in taught))
    assert loss == pytest.approx(reference, rel=1e-5)
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-3, atol=2e-4)
    assert mixes(student, sample(taught), pad=0, device=CPU) == ""


def test_packed_rows_have_no_padding(bases) -> None:
    for name in ("llama", "t5"):
        student, taught = load(bases[name])
        batch = student.architecture.pack(taught)
        two_sides = READ in batch.inputs
        held = sum(len(row.ids) for row in taught) - (0 if two_sides else len(taught))
        sides = ("input_ids", "decoder_input_ids") if two_sides else ("input_ids",)
        assert sum(batch.inputs[side].size for side in sides) == held


class Masked(Decoder):
    """What a collator does that does not know better: a mask of ones."""

    def pack(self, rows) -> MicroBatch:
        batch = super().pack(rows)
        mask = {"attention_mask": batch.inputs["input_ids"] * 0 + 1}
        return MicroBatch(batch.inputs | mask, batch.keep, batch.targets)


class Continued(Decoder):
    """Positions that go on from row to row."""

    def pack(self, rows) -> MicroBatch:
        batch = super().pack(rows)
        return MicroBatch({"input_ids": batch.inputs["input_ids"]}, batch.keep, batch.targets)


@pytest.mark.parametrize("kind", [Masked(), Continued()])
def test_rows_that_see_each_other_are_found(bases, kind) -> None:
    student, taught = load(bases["llama"])
    student.architecture = kind
    assert mixes(student, sample(taught), pad=0, device=CPU) == "rows see the ones before them"


def test_positions_that_do_not_begin_anew_are_found(bases) -> None:
    class Shifted(Decoder):
        def pack(self, rows) -> MicroBatch:
            batch = super().pack(rows)
            # Two steps from row to row tell rows apart as well, but GPT-2 has learned each position.
            shift = (batch.inputs["position_ids"] == 0).cumsum(-1)
            later = {"position_ids": batch.inputs["position_ids"] + shift}
            return MicroBatch(batch.inputs | later, batch.keep, batch.targets)

    student, taught = load(bases["gpt2"])
    student.architecture = Shifted()
    assert "logits differ from those of rows alone by" in mixes(student, sample(taught), pad=0, device=CPU)


def test_an_architecture_with_positions_of_its_own_is_refused(bases) -> None:
    student, taught = load(bases["bart"])
    assert "logits differ" in mixes(student, sample(taught), pad=0, device=CPU)


def test_few_rows_make_a_sample(bases) -> None:
    _, taught = load(bases["llama"])
    assert [len(row.ids) for row in sample(taught)] == sorted({len(row.ids) for row in taught})[:3][::-1]
    assert len(sample(taught[:1])) == 2


def test_packing_is_for_gpus_unless_it_is_asked_for() -> None:
    gpu = SimpleNamespace(type="cuda")
    for packing, on_cpu, on_gpu in (("auto", False, True), (True, True, True), (False, False, False)):
        training = SimpleNamespace(packing=packing)
        assert wanted(training, CPU, "sdpa") == on_cpu
        assert wanted(training, gpu, "flash_attention_2") == on_gpu
        assert wanted(training, gpu, "sdpa") == (packing is True), (
            "a line's square, where padding costs little"
        )


def test_logits_that_are_changed_after_the_head_are_not_cut(bases) -> None:
    student, taught = load(bases["llama"])
    assert chunks_agree(student, taught[:3], pad=0, device=CPU)
    kind = student.architecture = Decoder()
    plain = kind.logits
    object.__setattr__(
        kind, "logits", lambda model, inputs: 3 * torch.tanh(plain(model, inputs) / 3)
    )  # as Gemma 2 does
    assert not chunks_agree(student, taught[:3], pad=0, device=CPU)
    assert DECODER.logits is not kind.logits
