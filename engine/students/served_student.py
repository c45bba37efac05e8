"""A student that answers whoever asks: one thread computes, and what waits meanwhile is answered in one batch.

Greedy answers do not depend on their batch, so they are those of the evaluation. Sampled ones are drawn request by request from
the request's seed.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import torch

from engine.methods import Method
from engine.students.conversations import Talk
from engine.students.opened_student import OpenedStudent
from engine.students.part_models import PartModels, part_of
from engine.students.room import Asked, Completion, give_room, positions
from engine.students.static_batches import write_in_batches
from engine.students.tokenizer import pad_id


@dataclass(frozen=True, slots=True)
class Scores:
    """Log-probabilities of tokens, given those before each. The first token of a decoder's text has none."""

    ids: list[int]
    values: list[float | None]
    top: list[list[tuple[int, float]]]
    """Of each: the likeliest tokens at its place, the likeliest first."""
    seconds: float = 0.0
    """The time that it took."""


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """A prompt that waits for the thread. Two of the same prompt are two."""

    asked: Asked
    part: str
    temperature: float | None
    seed: int | None
    done: asyncio.Future[Completion]


class ServedStudent:
    """An opened student with its weights.

    Args:
        opened: tokenizer, form and architecture.
        model: its weights, on their device.
        method: of the student, and its guidance.
        most: the longest answer, in tokens.
        batch_size: prompts that are answered together.
    """

    def __init__(
        self, opened: OpenedStudent, model: Any, method: Method, guidance: str, *, most: int, batch_size: int
    ) -> None:
        self.form, self.tokenizer, self.most = opened.form, opened.tokenizer, most
        self.decoder = opened.architecture.room(1, 2) == 1
        self.parameters = sum(each.numel() for each in model.parameters())
        self.in_parts = isinstance(model, PartModels)
        self._architecture = opened.architecture
        self._models = dict(model.parts) if isinstance(model, PartModels) else {"": model}
        self._method, self._guidance, self._batch_size = method, guidance, batch_size
        self._limit = positions(model)
        self._seeds = itertools.count(secrets.randbits(62))  # not those of an earlier server
        self._waiting: list[_Job] = []
        self._thread = ThreadPoolExecutor(1, "student")
        self._busy: asyncio.Task[None] | None = None

    def room(self, ids: Sequence[int], most: int) -> Asked:
        """A prompt with its room."""
        return give_room(list(ids), self._architecture, limit=self._limit, most=most)

    async def write(
        self, asked: Asked, temperature: float | None, seed: int | None, part: str = ""
    ) -> Completion:
        """The completion of a prompt by a part, if there are parts: greedy, or sampled at a temperature."""
        done: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Job(asked, part, temperature, seed, done))
        if self._busy is None or self._busy.done():
            self._busy = asyncio.create_task(self._work())
        return await done

    async def answer(
        self, question: str, most: int, temperature: float | None, seed: int | None
    ) -> Completion:
        """What the student says to a question, as its evaluation asks it: turn by turn, if its method has turns."""
        if not self._method.roles:
            [ids] = self.form.prompt_ids([question])
            return await self.write(self.room(ids, most), temperature, seed)
        talk, seconds = Talk(self._method, question, self._guidance), 0.0
        while talk.asking is not None:
            [ids] = self.form.asked_ids([talk.asking])
            part = part_of(talk.asking, self._method) if self.in_parts else ""
            said = await self.write(self.room(ids, most), temperature, seed, part)
            seconds += said.seconds
            talk.hear(said)
        return replace(talk.completion, seconds=seconds)

    async def score(self, prompt: Sequence[int], written: Sequence[int], top: int) -> Scores:
        """The log-probabilities of the tokens of a text after a prompt; of a decoder's also those of the prompt."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._score, list(prompt), list(written), top)

    async def close(self) -> None:
        """Waits for what is being written, and ends the thread."""
        if self._busy is not None and not self._busy.done():
            self._busy.cancel()
        await asyncio.to_thread(self._thread.shutdown)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            first = self._waiting[0]
            together = [
                each
                for each in self._waiting
                if first.temperature is None is each.temperature and each.part == first.part
            ]
            batch = together[: self._batch_size] or [first]
            self._waiting = [each for each in self._waiting if each not in batch]
            try:
                found = await loop.run_in_executor(self._thread, self._write, batch)
            except Exception as error:
                for each in batch:
                    if not each.done.done():
                        each.done.set_exception(error)
                continue
            for each, completion in zip(batch, found, strict=True):
                if not each.done.done():  # whoever asked may be gone
                    each.done.set_result(completion)

    def _write(self, batch: Sequence[_Job]) -> list[Completion]:
        first, started = batch[0], time.monotonic()
        if first.temperature is not None:
            torch.manual_seed(next(self._seeds) if first.seed is None else first.seed % 2**63)
        found = write_in_batches(
            self._models[first.part],
            pad_id(self.tokenizer),
            self.form.decode,
            [each.asked for each in batch],
            batch_size=self._batch_size,
            temperature=first.temperature,
        )
        seconds = (time.monotonic() - started) / len(batch)
        return [replace(each, seconds=seconds) for each in found]

    @torch.inference_mode()
    def _score(self, prompt: list[int], written: list[int], top: int) -> Scores:
        started = time.monotonic()
        model = next(iter(self._models.values()))
        device = next(model.parameters()).device
        if self.decoder:
            ids, begin = prompt + written, 1
            logits = model(input_ids=torch.tensor([ids], device=device)).logits[0, :-1]
        else:
            ids, begin = written, 0
            before = [self._architecture.generation()["decoder_start_token_id"], *written[:-1]]
            logits = model(
                input_ids=torch.tensor([prompt], device=device),
                decoder_input_ids=torch.tensor([before], device=device),
            ).logits[0]
        log = logits.float().log_softmax(-1)
        picked = log[torch.arange(len(ids) - begin), torch.tensor(ids[begin:], device=device)].tolist()
        best = log.topk(min(top, log.shape[-1])) if top else None
        tops = [
            list(zip(indices, values, strict=True))
            for indices, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ] if best else [[] for _ in picked]  # fmt: skip
        seconds = time.monotonic() - started
        return Scores(ids, [*[None] * begin, *picked], [*[[]] * begin, *tops], seconds)
