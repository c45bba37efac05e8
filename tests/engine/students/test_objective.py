from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from engine.errors import JobFailed
from engine.students import objectives, token_rows
from engine.students.token_rows import tokenize
from tests.engine.students.runs import ENCODER_DECODERS, paper, rows
from tests.lazily import Lazy

torch, transformers = Lazy("torch"), Lazy("transformers")
architecture = Lazy("engine.students.architecture")
objective, packing = Lazy("engine.students.objective"), Lazy("engine.students.packing")
dispatch = Lazy("torch.utils._python_dispatch")


@pytest.fixture(scope="module")
def batch(bases):
    tokenizer = transformers.AutoTokenizer.from_pretrained(bases["gpt2"])
    taught, _ = tokenize(paper(tokenizer), rows()[0][:6], max_length=100)
    return taught, architecture.DECODER.collate(taught, tokenizer.pad_token_id)


def load(bases, kind: str) -> objective.Student:
    return objective.Student(transformers.AutoModelForCausalLM.from_pretrained(bases[kind]).eval())


def loss_of(student: objective.Student, batch, weight: float = 1.0) -> torch.Tensor:
    return student(*packing.on_device(batch, torch.device("cpu")), weight)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen"])
def test_the_loss_is_that_of_each_row_alone_on_its_completion(bases, batch, kind) -> None:
    taught, together = batch
    student = load(bases, kind)
    expected = torch.zeros(())
    for row in taught:
        ids = torch.from_numpy(row.ids)[None]
        logits = student.model(input_ids=ids, use_cache=False).logits[
            0
        ]  # unpadded, the head on all positions
        labels = ids[0].clone()
        labels[: row.prompt] = -100
        expected = expected + torch.nn.functional.cross_entropy(
            logits[:-1], labels[1:], ignore_index=-100, reduction="sum"
        )
    found = loss_of(student, together, 0.25)
    assert found.item() == pytest.approx(0.25 * expected.item(), rel=1e-5)
    found.backward()
    gradient = student.model.get_input_embeddings().weight.grad.clone()
    student.zero_grad()
    (0.25 * expected).backward()
    torch.testing.assert_close(gradient, student.model.get_input_embeddings().weight.grad)


@pytest.mark.parametrize("chunks", [1, 3])
def test_a_tied_embedding_adds_its_rows_to_the_gradient_of_the_head(bases, batch, chunks) -> None:
    """The same gradient, also over two micro-batches, and no second matrix of its size."""
    student = load(bases, "gpt2")
    moved = packing.on_device(batch[1], torch.device("cpu"))
    embedding = student.model.get_input_embeddings()
    assert embedding.weight is student.model.get_output_embeddings().weight

    def gradient() -> torch.Tensor:
        student.zero_grad()
        for _ in range(2):
            student(*moved, 1.0, chunks).backward()
        return embedding.weight.grad.clone()

    expected = gradient()
    objective.add_rows_only(student.model)
    found = gradient()
    assert embedding.sparse and not found.is_sparse
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", ENCODER_DECODERS)
def test_an_encoder_decoders_loss_is_that_of_each_row_alone_whatever_the_padding(bases, kind) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(bases[kind])
    student = objective.Student(transformers.AutoModelForSeq2SeqLM.from_pretrained(bases[kind]).eval())
    side = architecture.architecture_of(student.model)
    taught, _ = tokenize(paper(tokenizer, True), rows()[0][:6], max_length=100)
    assert len({row.prompt for row in taught}) > 2 and len({row.supervised for row in taught}) > 2
    expected = torch.zeros(())
    for row in taught:
        ids, labels = (
            torch.from_numpy(part)[None] for part in (row.ids[: row.prompt], row.ids[row.prompt :])
        )
        # The library's own shift, mask and mean; nothing is padded.
        loss = student.model(input_ids=ids, labels=labels, use_cache=False).loss
        expected = expected + loss * row.supervised
    embedding = student.model.get_input_embeddings().weight
    (0.25 * expected).backward()
    gradient = embedding.grad.clone()
    for pad in (tokenizer.pad_token_id, 7):
        student.zero_grad()
        found = loss_of(student, side.collate(taught, pad), 0.25)
        assert found.item() == pytest.approx(0.25 * expected.item(), rel=1e-5)
        found.backward()
        torch.testing.assert_close(embedding.grad, gradient, rtol=1e-4, atol=1e-5)


def test_prompt_targets_and_padding_have_no_gradient(bases, batch) -> None:
    taught, together = batch
    student = load(bases, "gpt2")
    seen = {}

    def keep_gradient(_module, inputs):
        inputs[0].retain_grad()
        seen["hidden"] = inputs[0]

    # Registered after the student's own hook would see the picked positions only; this one comes first.
    student.model.transformer.ln_f.register_forward_hook(lambda _m, _i, out: keep_gradient(None, (out,)))
    loss_of(student, together).backward()
    rows_of_hidden = seen["hidden"].grad.abs().sum(-1)
    for line, row in enumerate(taught):
        assert rows_of_hidden[line, : row.prompt - 1].max() == 0
        assert rows_of_hidden[line, row.prompt - 1 : len(row.ids) - 1].min() > 0
        assert rows_of_hidden[line, len(row.ids) - 1 :].sum() == 0


def test_the_head_sees_supervised_positions_only_and_everything_afterwards(bases, batch) -> None:
    _, together = batch
    student = load(bases, "llama")
    sizes = []
    student.model.lm_head.register_forward_hook(lambda _m, _i, out: sizes.append(tuple(out.shape[:-1])))
    loss_of(student, together)
    ids = together.inputs["input_ids"]
    student.model(input_ids=torch.from_numpy(ids))
    assert sizes == [together.targets.shape, ids.shape]


def test_a_model_whose_head_is_elsewhere_is_refused(bases, batch) -> None:
    _, together = batch
    student = load(bases, "llama")
    student.model.lm_head._forward_pre_hooks.clear()
    with pytest.raises(JobFailed, match="LlamaForCausalLM does not pass its hidden states"):
        loss_of(student, together)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "phi", "t5"])
@pytest.mark.parametrize("parts", [2, 7, 400])
def test_a_loss_in_parts_is_the_loss(bases, kind, parts) -> None:
    # GPT-2's and T5's heads are tied to their embeddings, Phi's has a bias.
    tokenizer = transformers.AutoTokenizer.from_pretrained(bases[kind])
    auto = (
        transformers.AutoModelForSeq2SeqLM if kind in ENCODER_DECODERS else transformers.AutoModelForCausalLM
    )
    student = objective.Student(auto.from_pretrained(bases[kind]).eval())
    taught, _ = tokenize(paper(tokenizer, kind in ENCODER_DECODERS), rows()[0][:6], max_length=100)
    batch = student.architecture.collate(taught, 0)
    found = []
    for number in (1, parts):
        student.zero_grad()
        loss = student(*packing.on_device(batch, torch.device("cpu")), 0.25, number)
        loss.backward()
        found.append((loss, {name: parameter.grad.clone() for name, parameter in student.named_parameters()}))
    (whole, expected), (cut, gradients) = found
    torch.testing.assert_close(cut, whole, rtol=1e-5, atol=0)
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-5)


def measured(student: objective.Student, batch, weight: float, chunks: int) -> tuple[torch.Tensor, dict]:
    student.zero_grad()
    loss = student(*packing.on_device(batch, torch.device("cpu")), weight, chunks)
    loss.backward()
    return loss.detach(), {name: each.grad.clone() for name, each in student.named_parameters()}


def assert_same(found, expected) -> None:
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=0)
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunks", [1, 5])
@pytest.mark.parametrize("packed", [False, True])
def test_a_row_counts_with_its_weight(bases, batch, chunks, packed) -> None:
    """Rows of weight 2, 1 and 0 are rows there twice, once and not at all."""
    taught, _ = batch
    student = load(bases, "gpt2")

    def together(some, weights=None):
        made = student.architecture.pack(some) if packed else student.architecture.collate(some, 0)
        return made if weights is None else token_rows.weighted(made, some, np.array(weights))

    found = measured(student, together(taught[:3], [2.0, 1.0, 0.0]), 0.25, chunks)
    assert_same(found, measured(student, together([taught[0], taught[0], taught[1]]), 0.25, chunks))


def test_an_objective_needs_its_losses_alone(bases, batch) -> None:
    """Its gradient is autograd's, also in parts; columns go with their tokens."""

    @dataclass(frozen=True, kw_only=True)
    class Scaled(objectives.Objective):
        def losses(self, logits, targets, *columns):
            (factor,) = columns
            return torch.nn.functional.cross_entropy(logits, targets, reduction="none") * factor

    taught = [
        replace(row, columns=(np.arange(row.supervised, dtype=np.float32),))
        for row in (batch[0][0], batch[0][3])
    ]
    model = load(bases, "llama").model
    plain, scaled = (
        objective.Student(model, objective=each)
        for each in (objective.TOKENS, Scaled(name="scaled", doc="", rank=9))
    )
    collated = architecture.DECODER.collate(taught, 0)
    by_hand = replace(collated, columns=(), weights=collated.columns[0])
    expected = measured(plain, by_hand, 1.0, 1)
    for chunks in (1, 4):
        found = measured(scaled, collated, 1.0, chunks)
        assert_same(found, expected)


def distributions(count: int, vocabulary: int, known: int, seed: int = 0) -> tuple:
    """Logits, targets and distributions; every third position has its target alone."""
    chance = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(count, vocabulary, generator=chance)
    teacher = (3 * torch.randn(count, vocabulary, generator=chance)).softmax(-1)
    shares, ids = teacher.topk(known)
    targets = ids[:, 0].clone()
    ids[::3], shares[::3] = targets[::3, None], torch.eye(known)[0]
    whole = torch.zeros_like(teacher).scatter_add(1, ids, shares)
    return logits, targets, ids.int(), shares, teacher, whole


@pytest.mark.parametrize("known", [1, 3, 17])
def test_the_divergence_and_its_gradient_are_those_of_the_bucketed_distributions(known) -> None:
    """Against a dense computation with autograd; with all 17 tokens known it is the divergence itself, to 1e-5."""
    logits, targets, ids, shares, teacher, whole = distributions(30, 17, known)
    kind = objectives.OBJECTIVES["distribution"]
    leaf = logits.clone().requires_grad_()
    log = leaf.log_softmax(-1)
    seen = torch.zeros_like(whole).scatter_(1, ids.long(), 1.0)
    tail = (1 - whole.sum(1)).clamp_min(0).where(whole.sum(1) < 1 - 1e-6, 0.0)
    others = ((1 - seen) * log.exp()).sum(1)
    expected = (torch.special.xlogy(whole, whole) - whole * log).sum(1) + torch.where(
        tail > 0, tail * (tail.clamp_min(1e-30).log() - others.clamp_min(1e-30).log()), 0.0
    )
    torch.testing.assert_close(kind.losses(logits, targets, ids, shares), expected.detach())
    expected.sum().backward()
    torch.testing.assert_close(
        kind.gradient(logits.clone(), targets, ids, shares), leaf.grad, rtol=1e-4, atol=1e-6
    )
    if known == 17:
        dense = torch.nn.functional.kl_div(log, teacher, reduction="none").sum(1)
        rows_of = torch.arange(30) % 3 != 0
        assert (expected - dense)[rows_of].abs().max() < 1e-5


def test_a_position_without_a_distribution_has_its_cross_entropy() -> None:
    logits, targets, _, _, _, _ = distributions(9, 11, 1)
    ids, shares = targets[:, None].repeat(1, 4), torch.eye(4)[0].repeat(9, 1)
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    torch.testing.assert_close(
        objectives.OBJECTIVES["distribution"].losses(logits, targets, ids, shares), expected
    )


@pytest.mark.parametrize("kind", ["gpt2", "phi", "t5"])
def test_distributions_in_parts_and_with_weights_are_whole(bases, kind) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(bases[kind])
    auto = (
        transformers.AutoModelForSeq2SeqLM if kind in ENCODER_DECODERS else transformers.AutoModelForCausalLM
    )
    model = auto.from_pretrained(bases[kind]).eval()
    student = objective.Student(model, objective=objectives.OBJECTIVES["distribution"])
    taught, _ = tokenize(paper(tokenizer, kind in ENCODER_DECODERS), rows()[0][:4], max_length=100)
    chance = np.random.default_rng(0)
    with_columns = []
    for row in taught:
        ids = np.repeat(row.ids[row.places][:, None], 3, axis=1)
        ids[:, 1:] = chance.permuted(np.arange(2, 12)[None].repeat(len(ids), 0), axis=1)[:, :2]
        ids[:, 1:] = np.where(ids[:, 1:] == ids[:, :1], 12, ids[:, 1:])
        shares = np.array([0.5, 0.2, 0.1], dtype=np.float32)[None].repeat(len(ids), 0)
        with_columns.append(replace(row, columns=(ids.astype(np.int32), shares)))
    made = student.architecture.collate(with_columns, 0)
    weighted = token_rows.weighted(made, with_columns, np.array([1.0, 0.5, 0.0, 2.0]))
    assert_same(measured(student, weighted, 0.25, 4), measured(student, weighted, 0.25, 1))


def test_a_loss_in_parts_has_the_logits_of_one_part_in_memory(bases, batch) -> None:
    _, together = batch
    student = load(bases, "llama")
    vocabulary = student.model.config.vocab_size
    assert vocabulary not in (together.inputs["input_ids"].shape[1], len(together.targets))

    class Largest(dispatch.TorchDispatchMode):
        tokens = 0

        def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            for tensor in made if isinstance(made, tuple) else (made,):
                if torch.is_tensor(tensor) and tensor.ndim == 2 and tensor.shape[1] == vocabulary:
                    self.tokens = max(self.tokens, tensor.shape[0])
            return made

    sizes = []
    for parts in (1, 8):
        with Largest() as largest:
            student(*packing.on_device(together, torch.device("cpu")), 1.0, parts).backward()
        sizes.append(largest.tokens)
    width = (
        student.model.config.hidden_size
    )  # the head's gradient is [vocabulary, width], or that turned round
    assert sizes == [len(together.targets), max(width, -(-len(together.targets) // 8))]


def test_a_frozen_head_costs_no_gradient(bases, batch) -> None:
    _, together = batch
    student = load(bases, "llama")
    head = student.model.lm_head.weight
    head.requires_grad_(False)
    student(*packing.on_device(together, torch.device("cpu")), 1.0, 3).backward()
    assert head.grad is None and student.model.get_input_embeddings().weight.grad is not None


@pytest.mark.filterwarnings("ignore")  # of torch's own, while it traces
def test_a_compiled_student_is_not_compiled_anew_for_each_number_of_kept_positions(
    bases, batch, monkeypatch
) -> None:
    graphs: list[int] = []

    def count(graph, _inputs):
        graphs.append(len(graph.graph.nodes))
        return graph.forward

    with_compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model, **how: with_compiler(model, backend=count, **how))
    plain = load(bases, "llama")
    student = objective.Student(
        transformers.AutoModelForCausalLM.from_pretrained(bases["llama"]).eval(), compiled=True
    )
    taught, _ = batch
    made = []
    for some in (taught[:2], taught[1:4], taught[:3], taught[2:], taught):
        micro = architecture.DECODER.collate(some, 0)
        assert loss_of(student, micro).item() == pytest.approx(loss_of(plain, micro).item(), rel=1e-5)
        made.append(len(graphs))
    assert made[0] > 0 and made[1:] == [made[1]] * 4, "compiled, and at most once more for shapes that vary"
