"""Ensembles of students: the loss of the geometric mean, one member, their order, a member that is late, other tokenizers.

Three nano students with one tokenizer and different seeds learn coin flips; losses and texts are those of questions that none of them saw.
With `broken`, one member is a position late (as one whose padding is misread) where none may be and on time where one is to be noticed, and the
tokenizer whose ids are to be swapped is not.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench.systems.gates import Gate
from engine.config.students import EvaluationConfig
from engine.forms import FIRST, form_of
from engine.forms.base import BaseFacts
from engine.methods import METHODS, TrainRow
from engine.students.operations import OPERATIONS
from engine.students.operations.base import tokenizer_digest
from engine.students.sizes import SIZES
from engine.students.spec import SourceStudent

SEEDS = (0, 1, 2)
STEPS = 250
ROWS = 300
HELD = 60
BATCH = 24


def gates(
    broken: bool, *, seeds: Sequence[int] = SEEDS, steps: int = STEPS, held_back: int = HELD
) -> Iterator[Gate]:
    """The gates of the ensemble, in order.

    Args:
        broken: whether each gate is to fail.
        seeds: of the members.
        steps: optimizer steps of each member.
        held_back: questions that losses and texts are taken from.
    """
    from engine.students.logit_ensemble import LogitEnsemble

    with tempfile.TemporaryDirectory() as folder:
        taught, held = lessons(held_back)
        form, tokenizer = opened(Path(folder), taught)
        members = [student(seed, form, tokenizer, taught, steps) for seed in seeds]
        own = [loss(each, form, tokenizer, held) for each in members]
        mean = sum(own) / len(own)
        shown = " ".join(f"{value:.3f}" for value in own)
        together = LogitEnsemble([*members[:-1], late(members[-1])] if broken else members)
        found = loss(together, form, tokenizer, held)
        yield Gate(
            name="loss of the geometric mean",
            figure=f"{found:.3f} nats a token; members {shown}, mean {mean:.3f}",
            threshold="at most the mean member's",
            passed=found <= mean + 1e-6,
            seeds=seeds,
        )
        questions = [row.question for row in held]
        whole = written(members[0], form, tokenizer, questions)
        alone = written(
            LogitEnsemble([late(members[0])] if broken else members[:1]), form, tokenizer, questions
        )
        same = sum(one == other for one, other in zip(whole, alone, strict=True))
        yield Gate(
            name="one member is itself",
            figure=f"{same} of {len(whole)} texts",
            threshold="all equal",
            passed=same == len(whole),
            seeds=seeds[:1],
        )
        forth = written(together, form, tokenizer, questions)
        turned = [*together.members][::-1]
        back = written(LogitEnsemble(turned), form, tokenizer, questions)
        same = sum(one == other for one, other in zip(forth, back, strict=True))
        apart = abs(loss(LogitEnsemble(turned), form, tokenizer, held) - found)
        yield Gate(
            name="the order of the members",
            figure=f"{same} of {len(forth)} texts equal, losses {apart:.1e} apart",
            threshold="all equal, at most 1e-6",
            passed=same == len(forth) and apart <= 1e-6,
            seeds=seeds,
        )
        last = members[-1] if broken else late(members[-1])
        noticed = loss(LogitEnsemble([*members[:-1], last]), form, tokenizer, held)
        yield Gate(
            name="a member that is one position late",
            figure=f"{noticed:.3f} nats a token",
            threshold=f"above the mean member's, {mean:.3f}",
            passed=noticed > mean,
            seeds=seeds,
        )
        yield _swapped(Path(folder), tokenizer, members, broken)


def _swapped(folder: Path, tokenizer: Any, members: Sequence[Any], broken: bool) -> Gate:
    """Whether a member is refused whose tokenizer has two ids swapped; `broken`: they are not."""
    places = []
    for number, member in enumerate(members[:2], 1):
        place = folder / str(number) / "student"
        member.save_pretrained(place)
        tokenizer.save_pretrained(place)
        places.append(place)
    file = places[1] / "tokenizer.json"
    description = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = description["model"]["vocab"]
    first, second = sorted(vocabulary, key=vocabulary.get)[-2:]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    file.write_text(json.dumps(description), encoding="utf-8")
    if broken:
        shutil.copy2(places[0] / "tokenizer.json", file)
    sources = [
        SourceStudent(
            run_id=number, student=f"s{number}", scope="t", role="member", directory=str(place), rows="",
            method="fine-tune-cot", form=FIRST, base="builtin:nano",
        )
        for number, place in enumerate(places, 1)
    ]  # fmt: skip
    reason = OPERATIONS["ensemble"].refusal(sources)
    return Gate(
        name="two ids of a tokenizer swapped",
        figure=f"refused: {reason[:60]}…" if reason else f"averaged ({tokenizer_digest(places[1])[:8]})",
        threshold="refused",
        passed=bool(reason),
    )


def lessons(held_back: int) -> tuple[list[TrainRow], list[TrainRow]]:
    """Coin flips with their rationales: rows to learn, and rows that are held back."""
    import random

    people = ("Ann", "Bob", "Carla", "Dan", "Eve", "Finn")
    chance = random.Random(7)
    found = []
    for number in range(ROWS + held_back):
        flips = [(chance.choice(people), chance.random() < 0.5) for _ in range(chance.randint(1, 4))]
        up, said = True, []
        for name, flip in flips:
            up ^= flip
            said.append(f"{name}: {'heads' if up else 'tails'}.")
        found.append(
            TrainRow(
                sample_id=number,
                question_id=number,
                question=" ".join(f"{name} {'flips' if flip else 'waits'}." for name, flip in flips)
                + " Heads?",
                rationale=" ".join(said),
                answer="yes" if up else "no",
            )
        )
    return found[:ROWS], found[ROWS:]


def opened(folder: Path, taught: Sequence[TrainRow]) -> tuple[Any, Any]:
    """The form of the students and the tokenizer that all of them have."""
    from engine.students.tokenizer import keep_tokenizer, load_tokenizer

    method = METHODS["fine-tune-cot"]
    outline = form_of(FIRST).outline(FIRST, method, BaseFacts())
    keep_tokenizer(folder / "tokenizer", taught, outline, SIZES["nano"].vocabulary)
    tokenizer = load_tokenizer(str(folder / "tokenizer"))
    form = form_of(FIRST).open(FIRST, method, tokenizer, encoder_decoder=False, note=print)
    return form, tokenizer


def student(seed: int, form: Any, tokenizer: Any, taught: Sequence[TrainRow], steps: int) -> Any:
    """A nano student that has learned these rows for some steps; a function of the seed."""
    import torch

    from engine.students.architecture import DECODER
    from engine.students.builtin import make
    from engine.students.evaluate import prepare_generation
    from engine.students.token_rows import tokenize
    from engine.students.tokenizer import pad_id

    torch.set_num_threads(1)
    pad = pad_id(tokenizer)
    model = make(SIZES["nano"], len(tokenizer), end=tokenizer.eos_token_id, pad=pad, positions=256, seed=seed)
    rows, _ = tokenize(form, taught, max_length=200)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.0)
    order = torch.Generator().manual_seed(seed)
    for step in range(steps):
        chosen = torch.randint(len(rows), (BATCH,), generator=order).tolist()
        batch = DECODER.collate([rows[place] for place in chosen], pad)
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * min(1.0, (step + 1) / 20) * (1 - 0.9 * step / steps)
        value = losses(model, batch).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    prepare_generation(model, tokenizer, form)
    return model.eval()


def losses(model: Any, batch: Any) -> Any:
    """The loss of each learned token of a batch, in nats."""
    import torch

    from engine.students.architecture import DECODER

    inputs = {name: torch.from_numpy(value) for name, value in batch.inputs.items()}
    found = DECODER.logits(model, inputs).float().log_softmax(-1)
    kept = found.reshape(-1, found.shape[-1])[torch.from_numpy(batch.keep)]
    return -kept.gather(1, torch.from_numpy(batch.targets)[:, None])[:, 0]


def loss(model: Any, form: Any, tokenizer: Any, held: Sequence[TrainRow]) -> float:
    """The mean loss of the learned tokens of some rows, in nats."""
    import torch

    from engine.students.architecture import DECODER
    from engine.students.token_rows import tokenize
    from engine.students.tokenizer import pad_id

    rows, _ = tokenize(form, held, max_length=200)
    with torch.inference_mode():
        return float(losses(model, DECODER.collate(rows, pad_id(tokenizer))).double().mean())


def written(model: Any, form: Any, tokenizer: Any, questions: Sequence[str]) -> list[str]:
    """What a student writes, greedily, in batches with padding."""
    from engine.students.evaluate import writer

    config = EvaluationConfig(max_new_tokens=40, batch_size=16)
    write = writer(model, tokenizer, form, config, stopping=lambda: False)
    return [each.text for each in write(questions, None)]


def late(model: Any) -> Any:
    """The same student, whose predictions come one position late."""
    import torch

    class Late(torch.nn.Module):
        """Passes everything on, and shifts what comes back."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = model
            self.config, self.generation_config = model.config, model.generation_config
            self.before: Any = None

        def forward(
            self,
            input_ids: Any = None,
            attention_mask: Any = None,
            position_ids: Any = None,
            past_key_values: Any = None,
            use_cache: bool = False,
        ) -> Any:
            found = self.inner(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=position_ids,
                past_key_values=past_key_values,
                use_cache=use_cache,
            )
            last = found.logits[:, -1:]
            first = self.before if past_key_values is not None else found.logits[:, :1]
            shifted = torch.cat([first, found.logits[:, :-1]], dim=1)
            self.before = last
            return SimpleNamespace(logits=shifted, past_key_values=found.past_key_values)

    return Late().eval()
