"""The two architectures of students, and everything that differs between them: rows, batches, generation, cost.

A decoder (GPT-2, Llama, Qwen) continues the question. An encoder-decoder (T5, Flan-T5, BART) reads the whole question
and writes to an empty decoder. The model's configuration says which one it is (`is_encoder_decoder`). A row of either is
one sequence, question first; only this module splits it into the two sides.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from engine.errors import JobFailed
from engine.students.token_rows import MicroBatch, TokenRow, micro_batch

READ, WRITTEN = "read", "written"  # packed rows: the row that each token of the two sides belongs to


class Architecture(ABC):
    """The interface of an architecture to the training process."""

    auto: ClassVar[str]
    """The class of transformers that loads it."""
    tag: ClassVar[str]
    """Its pipeline tag on the model hub."""

    @abstractmethod
    def lengths(self, row: TokenRow) -> tuple[int, ...]:
        """The lengths of the sides that are padded separately, each to the longest of its batch."""

    @abstractmethod
    def collate(self, rows: Sequence[TokenRow], pad: int) -> MicroBatch:
        """One micro-batch of padded rows."""

    @abstractmethod
    def pack(self, rows: Sequence[TokenRow]) -> MicroBatch:
        """One micro-batch of rows in a single line. Each row must attend to itself only."""

    def logits(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The output of the model where its head is applied."""
        found: torch.Tensor = model(**inputs, use_cache=False).logits
        return found

    @abstractmethod
    def generation(self) -> dict[str, int]:
        """Settings that `generate` needs beyond the tokens of the tokenizer."""

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
        """The completions of the prompts, at most `count` tokens each: greedy, or sampled at a temperature."""

    @abstractmethod
    def answer_flops(self, config: Any, parameters: tuple[int, int], prompt: int, written: int) -> float:
        """The FLOPs of reading a prompt and writing an answer once, with a cache: weights and attention.

        Args:
            config: of the model.
            parameters: all its weights, and those that its prompt alone uses (`sides`).
            prompt: tokens.
            written: tokens.
        """

    def sides(self, model: Any) -> tuple[int, int]:
        """The number of weights, and of those that only the prompt uses."""
        return sum(each.numel() for each in model.parameters()), 0

    @abstractmethod
    def flops(self, model: Any, rows: Sequence[TokenRow]) -> np.ndarray:
        """The FLOPs of training on each row once: weights (see `_flops_per_token`) and attention (PaLM, appendix B)."""


class Decoder(Architecture):
    """Question and completion in one sequence."""

    auto = "AutoModelForCausalLM"
    tag = "text-generation"

    def lengths(self, row: TokenRow) -> tuple[int, ...]:
        """One length: the whole row."""
        return (len(row.ids),)

    def collate(self, rows: Sequence[TokenRow], pad: int) -> MicroBatch:
        """Padded on the right, so causal attention needs no mask.

        The input is [rows, longest - 1], since the last token of the longest row predicts nothing.
        """
        ids = _padded([row.ids for row in rows], pad)
        width = ids.shape[1] - 1
        keep = [line * width + row.places - 1 for line, row in enumerate(rows)]
        inputs = {"input_ids": np.ascontiguousarray(ids[:, :-1])}
        return micro_batch(inputs, rows, keep)

    def pack(self, rows: Sequence[TokenRow]) -> MicroBatch:
        """Positions restart at each row; transformers uses them to tell the rows apart.

        That works only without a mask (even a mask of ones joins the rows) and without a cache. The last token of a row
        predicts nothing and is left out.
        """
        lines = [row.ids[:-1] for row in rows]
        starts = np.cumsum([0, *map(len, lines)])
        keep = [start + row.places - 1 for start, row in zip(starts, rows, strict=False)]
        positions = np.concatenate([np.arange(len(line)) for line in lines])
        inputs = {"input_ids": np.concatenate(lines)[None], "position_ids": positions[None]}
        return micro_batch(inputs, rows, keep)

    def generation(self) -> dict[str, int]:
        """None: generation continues the prompt."""
        return {}

    def room(self, prompt: int, limit: int) -> int:
        """The positions that the prompt leaves."""
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
        """Prompts are padded on the left. Positions follow from the mask."""
        ids, mask = _masked(prompts, pad, left=True)
        output = _generate(model, ids, mask, count, temperature)
        return output[:, ids.shape[1] :].tolist()

    def answer_flops(self, config: Any, parameters: tuple[int, int], prompt: int, written: int) -> float:
        """As `flops`, forward only: 2 per weight, and a third of the attention."""
        text, length = config.get_text_config(), prompt + written
        attention = 4.0 * text.num_hidden_layers * text.hidden_size * length**2
        return 2.0 * parameters[0] * length + attention

    def flops(self, model: Any, rows: Sequence[TokenRow]) -> np.ndarray:
        """Every token uses all weights and attends to the whole row."""
        text = model.config.get_text_config()
        lengths = np.array([len(row.ids) for row in rows], dtype=np.float64)
        attention = 12.0 * text.num_hidden_layers * text.hidden_size
        return _flops_per_token(model) * lengths + attention * lengths**2


@dataclass(frozen=True, slots=True)
class EncoderDecoder(Architecture):
    """The encoder reads the question, the decoder writes the completion."""

    start: int
    """The token that the decoder starts with. It is not part of a completion."""

    auto = "AutoModelForSeq2SeqLM"
    tag = "text2text-generation"

    def lengths(self, row: TokenRow) -> tuple[int, ...]:
        """Two lengths: encoder and decoder tokens."""
        return (row.prompt, row.written)

    def collate(self, rows: Sequence[TokenRow], pad: int) -> MicroBatch:
        """Both sides are padded on the right. The encoder side is masked; causal attention hides the padding of the decoder."""
        ids, mask = _masked([row.ids[: row.prompt] for row in rows], pad, left=False)
        labels = [row.ids[row.prompt :] for row in rows]
        written = _padded([np.concatenate(([self.start], label[:-1])) for label in labels], pad)
        width = written.shape[1]
        keep = [line * width + row.places - row.prompt for line, row in enumerate(rows)]
        inputs = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": written}
        return micro_batch(inputs, rows, keep)

    def pack(self, rows: Sequence[TokenRow]) -> MicroBatch:
        """All questions in one line and all completions in another, with numbers that say which belong together."""
        starts = np.cumsum([0, *(row.written for row in rows)])
        keep = [start + row.places - row.prompt for start, row in zip(starts, rows, strict=False)]
        written = [np.concatenate(([self.start], row.ids[row.prompt : -1])) for row in rows]
        numbers = np.arange(len(rows))
        inputs = {
            "input_ids": np.concatenate([row.ids[: row.prompt] for row in rows])[None],
            "decoder_input_ids": np.concatenate(written)[None],
            READ: np.repeat(numbers, [row.prompt for row in rows]),
            WRITTEN: np.repeat(numbers, [row.written for row in rows]),
        }
        return micro_batch(inputs, rows, keep)

    def logits(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Packed rows get block masks: a question attends to itself, a completion to its past and its question."""
        if READ not in inputs:
            return Architecture.logits(self, model, inputs)
        read, written = inputs[READ], inputs[WRITTEN]
        own = written[:, None] == written[None, :]
        past = torch.ones_like(own).tril()
        dtype = model.get_input_embeddings().weight.dtype
        encoded = model.get_encoder()(
            input_ids=inputs["input_ids"], attention_mask=_added(read[:, None] == read[None, :], dtype)
        )
        found: torch.Tensor = model(
            encoder_outputs=encoded,
            attention_mask=_added(written[:, None] == read[None, :], dtype),
            decoder_input_ids=inputs["decoder_input_ids"],
            decoder_attention_mask=_added(own & past, dtype),
            use_cache=False,
        ).logits
        return found

    def generation(self) -> dict[str, int]:
        """The token that the decoder starts with."""
        return {"decoder_start_token_id": self.start}

    def room(self, prompt: int, limit: int) -> int:
        """The decoder has its own positions, one of them for the start token. The prompt must fit the encoder."""
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

    def sides(self, model: Any) -> tuple[int, int]:
        """The encoder's are the prompt's, but for the embeddings, which both sides share."""
        counted = [
            sum(each.numel() for each in part.parameters())
            for part in (model, model.get_encoder(), model.get_input_embeddings())
        ]
        return counted[0], counted[1] - counted[2]

    def answer_flops(self, config: Any, parameters: tuple[int, int], prompt: int, written: int) -> float:
        """As `flops`, forward only: 2 per weight, and a third of the attention."""
        text = config.get_text_config()
        layers, writing_layers = layers_of(text)
        attention = layers * prompt**2 + writing_layers * written * (prompt + written)
        weights = parameters[1] * prompt + (parameters[0] - parameters[1]) * written
        return 2.0 * weights + 4.0 * text.hidden_size * attention

    def flops(self, model: Any, rows: Sequence[TokenRow]) -> np.ndarray:
        """A token uses the weights of its own side. Decoder tokens attend to both sides."""
        config = model.config.get_text_config()
        reading = _flops_per_token(model.get_encoder()) - _flops_per_token(model.get_input_embeddings())
        layers, writing_layers = layers_of(config)
        read = np.array([row.prompt for row in rows], dtype=np.float64)
        written = np.array([row.written for row in rows], dtype=np.float64)
        attention = layers * read**2 + writing_layers * written * (read + written)
        weights = reading * read + (_flops_per_token(model) - reading) * written
        return weights + 12.0 * config.hidden_size * attention


DECODER = Decoder()


def _added(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[1, 1, queries, keys]: added to attention scores so that only `seen` pairs count.

    Numbers instead of booleans, because eager attention would add booleans and mask nothing.
    """
    hidden = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return hidden.masked_fill_(~seen, torch.finfo(dtype).min)[None, None]


def is_encoder_decoder(config: Any) -> bool:
    """Whether a model configuration is that of an encoder-decoder."""
    return bool(getattr(config, "is_encoder_decoder", False))


def architecture_of(model: Any) -> Architecture:
    """The architecture of a loaded model.

    Raises:
        JobFailed: an encoder-decoder does not say which token its decoder starts with.
    """
    if not is_encoder_decoder(model.config):
        return DECODER
    start = getattr(model.config, "decoder_start_token_id", None)
    if start is None:
        start = model.generation_config.decoder_start_token_id
    if start is None:
        raise JobFailed(
            f"the configuration of {type(model).__name__} has no decoder_start_token_id, which an "
            "encoder-decoder needs to write: add it to config.json (T5 uses its padding token)"
        )
    return EncoderDecoder(int(start))


def auto_class(config: Any) -> Any:
    """The class of transformers that loads a model with this configuration."""
    import transformers

    architecture = EncoderDecoder if is_encoder_decoder(config) else Decoder
    return getattr(transformers, architecture.auto)


def layers_of(config: Any) -> tuple[int, int]:
    """The layers of the side that reads and of the one that writes; a decoder has one side, and is given as both."""
    names = ("num_decoder_layers", "decoder_layers")
    writing = next((found for name in names if (found := getattr(config, name, 0))), config.num_hidden_layers)
    return config.num_hidden_layers, writing


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
    """Padded token ids, and a mask that is 0 on the padding."""
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


def _flops_per_token(module: Any) -> float:
    """FLOPs per token: 2 forward and 2 backward per weight, and 2 more for the gradient of a trained weight."""
    return float(
        sum(parameter.numel() * (6 if parameter.requires_grad else 4) for parameter in module.parameters())
    )
