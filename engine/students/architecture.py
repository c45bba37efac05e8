"""The two kinds of student, and all in which they differ: rows, batches, generation, cost.

A decoder (GPT-2, Llama, Qwen) continues the question; an encoder-decoder (T5, Flan-T5, BART) reads it whole
and writes into an empty page. Which one a model is stands in its configuration (`is_encoder_decoder`).
A row of either is one sequence, question first; only here is it known what becomes of the two parts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from engine.errors import JobFailed
from engine.students.rows import MicroBatch, TokenRow
from engine.students.template import CONTINUED, TRANSLATED, Form

READ, WRITTEN = "read", "written"  # of packed rows: which row each token of the two sides belongs to


class Kind(ABC):
    """What the training process asks of a kind of student."""

    form: ClassVar[Form]
    """How its texts are written."""
    auto: ClassVar[str]
    """The class of transformers that loads it."""
    tag: ClassVar[str]
    """The model hub's name of what it does."""

    @abstractmethod
    def parts(self, row: TokenRow) -> tuple[int, ...]:
        """The lengths that padding fills up, each to the longest of its batch."""

    @abstractmethod
    def collate(self, rows: Sequence[TokenRow], pad: int) -> MicroBatch:
        """One micro-batch of rows."""

    @abstractmethod
    def pack(self, rows: Sequence[TokenRow]) -> MicroBatch:
        """One micro-batch of rows in one line, each of which is to see itself alone."""

    def logits(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What the model makes of a micro-batch's inputs, where its head is applied."""
        found: torch.Tensor = model(**inputs, use_cache=False).logits
        return found

    @abstractmethod
    def generation(self) -> dict[str, int]:
        """What `generate` has to know beyond the tokenizer's tokens."""

    @abstractmethod
    def room(self, prompt: int, limit: int) -> int:
        """How many tokens a model of `limit` positions can write after a prompt of that length."""

    @abstractmethod
    def continuations(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        *,
        pad: int,
        count: int,
        temperature: float | None = None,
    ) -> list[list[int]]:
        """What the model writes after each of the prompts, at most `count` tokens: greedily, or sampled."""

    @abstractmethod
    def flops(self, model: Any, rows: Sequence[TokenRow]) -> np.ndarray:
        """FLOPs of training on each row once: weights (see `_work`) and attention (PaLM, appendix B)."""


class Decoder(Kind):
    """Question and completion in one sequence."""

    form = CONTINUED
    auto = "AutoModelForCausalLM"
    tag = "text-generation"

    def parts(self, row: TokenRow) -> tuple[int, ...]:
        """One: the whole row."""
        return (len(row.ids),)

    def collate(self, rows: Sequence[TokenRow], pad: int) -> MicroBatch:
        """Padded on the right, so causal attention needs no mask.

        The input is [rows, longest - 1]: the last token of the longest row predicts nothing.
        """
        ids = _padded([row.ids for row in rows], pad)
        width = ids.shape[1] - 1
        keep = [
            np.arange(line * width + row.prompt - 1, line * width + len(row.ids) - 1)
            for line, row in enumerate(rows)
        ]
        targets = [row.ids[row.prompt :] for row in rows]
        inputs = {"input_ids": np.ascontiguousarray(ids[:, :-1])}
        return MicroBatch(inputs, np.concatenate(keep), np.concatenate(targets))

    def pack(self, rows: Sequence[TokenRow]) -> MicroBatch:
        """Positions begin anew at each row, by which transformers tells rows apart.

        It does where there is no mask (even one of ones would join them) and no cache. A row's last token
        predicts nothing and is left out.
        """
        lines = [row.ids[:-1] for row in rows]
        starts = np.cumsum([0, *map(len, lines)])
        keep = [
            np.arange(start + row.prompt - 1, start + len(line))
            for start, line, row in zip(starts, lines, rows, strict=False)
        ]
        targets = [row.ids[row.prompt :] for row in rows]
        positions = np.concatenate([np.arange(len(line)) for line in lines])
        inputs = {"input_ids": np.concatenate(lines)[None], "position_ids": positions[None]}
        return MicroBatch(inputs, np.concatenate(keep), np.concatenate(targets))

    def generation(self) -> dict[str, int]:
        """Nothing: the prompt is there to go on from."""
        return {}

    def room(self, prompt: int, limit: int) -> int:
        """The prompt takes its part."""
        return limit - prompt

    def continuations(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        *,
        pad: int,
        count: int,
        temperature: float | None = None,
    ) -> list[list[int]]:
        """Prompts are padded on the left; positions follow from the mask."""
        ids, mask = _masked(prompts, pad, left=True)
        output = _generate(model, ids, mask, count, temperature)
        return output[:, ids.shape[1] :].tolist()

    def flops(self, model: Any, rows: Sequence[TokenRow]) -> np.ndarray:
        """Every token passes all weights and looks at the whole row."""
        text = model.config.get_text_config()
        lengths = np.array([len(row.ids) for row in rows], dtype=np.float64)
        attention = 12.0 * text.num_hidden_layers * text.hidden_size
        return _work(model) * lengths + attention * lengths**2


@dataclass(frozen=True, slots=True)
class EncoderDecoder(Kind):
    """The question is the encoder's, the completion the decoder's."""

    start: int
    """The token the decoder begins with; it is no part of a completion."""

    form = TRANSLATED
    auto = "AutoModelForSeq2SeqLM"
    tag = "text2text-generation"

    def parts(self, row: TokenRow) -> tuple[int, ...]:
        """Two: encoder and decoder tokens."""
        return (row.prompt, row.supervised)

    def collate(self, rows: Sequence[TokenRow], pad: int) -> MicroBatch:
        """Both sides padded on the right: the encoder's is masked, the decoder's is in nobody's past."""
        ids, mask = _masked([row.ids[: row.prompt] for row in rows], pad, left=False)
        labels = [row.ids[row.prompt :] for row in rows]
        written = _padded([np.concatenate(([self.start], label[:-1])) for label in labels], pad)
        width = written.shape[1]
        keep = [np.arange(line * width, line * width + len(label)) for line, label in enumerate(labels)]
        inputs = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": written}
        return MicroBatch(inputs, np.concatenate(keep), np.concatenate(labels))

    def pack(self, rows: Sequence[TokenRow]) -> MicroBatch:
        """All questions in one line and all completions in another; numbers say what belongs together."""
        labels = np.concatenate([row.ids[row.prompt :] for row in rows])
        written = [np.concatenate(([self.start], row.ids[row.prompt : -1])) for row in rows]
        numbers = np.arange(len(rows))
        inputs = {
            "input_ids": np.concatenate([row.ids[: row.prompt] for row in rows])[None],
            "decoder_input_ids": np.concatenate(written)[None],
            READ: np.repeat(numbers, [row.prompt for row in rows]),
            WRITTEN: np.repeat(numbers, [row.supervised for row in rows]),
        }
        return MicroBatch(inputs, np.arange(len(labels)), labels)

    def logits(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Packed rows get masks of blocks: question to question, completion to its past and to its question."""
        if READ not in inputs:
            return Kind.logits(self, model, inputs)
        read, written = inputs[READ], inputs[WRITTEN]
        own = written[:, None] == written[None, :]
        past = torch.ones_like(own).tril()
        kind = model.get_input_embeddings().weight.dtype
        encoded = model.get_encoder()(
            input_ids=inputs["input_ids"], attention_mask=_added(read[:, None] == read[None, :], kind)
        )
        found: torch.Tensor = model(
            encoder_outputs=encoded,
            attention_mask=_added(written[:, None] == read[None, :], kind),
            decoder_input_ids=inputs["decoder_input_ids"],
            decoder_attention_mask=_added(own & past, kind),
            use_cache=False,
        ).logits
        return found

    def generation(self) -> dict[str, int]:
        """The token the decoder begins with."""
        return {"decoder_start_token_id": self.start}

    def room(self, prompt: int, limit: int) -> int:
        """The decoder has positions of its own, one of them the start's; the prompt must fit the encoder's."""
        return limit - 1 if prompt <= limit else 0

    def continuations(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        *,
        pad: int,
        count: int,
        temperature: float | None = None,
    ) -> list[list[int]]:
        """Prompts are padded on the right and masked."""
        ids, mask = _masked(prompts, pad, left=False)
        output = _generate(model, ids, mask, count, temperature)
        return output[:, 1:].tolist()

    def flops(self, model: Any, rows: Sequence[TokenRow]) -> np.ndarray:
        """A token passes its own side's weights; decoder tokens look at both sides."""
        config = model.config.get_text_config()
        reading = _work(model.get_encoder()) - _work(model.get_input_embeddings())
        layers = config.num_hidden_layers
        writing_layers = next(
            (
                found
                for name in ("num_decoder_layers", "decoder_layers")
                if (found := getattr(config, name, 0))
            ),
            layers,
        )
        read = np.array([row.prompt for row in rows], dtype=np.float64)
        written = np.array([row.supervised for row in rows], dtype=np.float64)
        attention = layers * read**2 + writing_layers * written * (read + written)
        weights = reading * read + (_work(model) - reading) * written
        return weights + 12.0 * config.hidden_size * attention


DECODER = Decoder()


def _added(seen: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    """[1, 1, queries, keys]: what is added to attention scores so that only `seen` pairs count.

    Numbers and not truth values: eager attention would add those, and see everything.
    """
    hidden = torch.zeros(seen.shape, dtype=kind, device=seen.device)
    return hidden.masked_fill_(~seen, torch.finfo(kind).min)[None, None]


def is_encoder_decoder(config: Any) -> bool:
    """Whether a model's configuration says so."""
    return bool(getattr(config, "is_encoder_decoder", False))


def kind_of(model: Any) -> Kind:
    """A loaded model's kind.

    Raises:
        JobFailed: an encoder-decoder that does not say what its decoder begins with.
    """
    if not is_encoder_decoder(model.config):
        return DECODER
    start = getattr(model.config, "decoder_start_token_id", None)
    if start is None:
        start = model.generation_config.decoder_start_token_id
    if start is None:
        raise JobFailed(
            f"the configuration of {type(model).__name__} names no decoder_start_token_id, without which an "
            "encoder-decoder cannot write: add it to config.json (T5 uses its padding token)"
        )
    return EncoderDecoder(int(start))


def auto_class(config: Any) -> Any:
    """The class of transformers that loads a model of that configuration."""
    import transformers

    kind = EncoderDecoder if is_encoder_decoder(config) else Decoder
    return getattr(transformers, kind.auto)


def _padded(rows: Sequence[Sequence[int] | np.ndarray], pad: int, *, left: bool = False) -> np.ndarray:
    """[rows, longest] token ids."""
    width = max(len(row) for row in rows)
    ids = np.full((len(rows), width), pad, dtype=np.int64)
    for line, row in enumerate(rows):
        start = width - len(row) if left else 0
        ids[line, start : start + len(row)] = row
    return ids


def _masked(
    rows: Sequence[Sequence[int] | np.ndarray], pad: int, *, left: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Padded token ids, and 1 where they are none of the padding."""
    return _padded(rows, pad, left=left), _padded([np.ones(len(row)) for row in rows], 0, left=left)


def _generate(
    model: Any, ids: np.ndarray, mask: np.ndarray, count: int, temperature: float | None
) -> torch.Tensor:
    device = next(model.parameters()).device
    sampled = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}
    with torch.inference_mode():
        output: torch.Tensor = model.generate(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=torch.from_numpy(mask).to(device),
            max_new_tokens=count,
            **sampled,
        )
    return output


def _work(module: Any) -> float:
    """FLOPs a token: 2 forward and 2 backward a weight, and 2 more for the gradient of one that is trained."""
    return float(
        sum(parameter.numel() * (6 if parameter.requires_grad else 4) for parameter in module.parameters())
    )
