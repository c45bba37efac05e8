"""Several models that write one text: at each token the mean of their log-probabilities chooses.

That is the geometric mean of their distributions, up to a factor. Its loss on a text is at most the mean of the members'
losses. The module answers as a model of transformers does, so evaluation does not tell it apart from one.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch

from engine.students.architecture import is_encoder_decoder


class LogitEnsemble(torch.nn.Module):
    """Members of one tokenizer and one architecture, decoders or encoder-decoders."""

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__()
        self.members = torch.nn.ModuleList(members)
        self.config = copy.deepcopy(members[0].config)
        self.generation_config = members[0].generation_config
        text = self.config.get_text_config()
        limits = [
            limit
            for each in members
            if (limit := getattr(each.config.get_text_config(), "max_position_embeddings", None))
        ]
        if limits:  # a question must fit into each of them
            text.max_position_embeddings = min(limits)

    @property
    def device(self) -> torch.device:
        """Of its weights."""
        return next(self.parameters()).device

    def forward(self, **inputs: Any) -> Any:
        """The mean log-probabilities, [rows, positions, vocabulary] in float32, as `logits`."""
        found = [log_probabilities(each(**inputs).logits) for each in self.members]
        return SimpleNamespace(logits=mean(found))

    @torch.inference_mode()
    def generate(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        max_new_tokens: int,
        *,
        do_sample: bool = False,
        temperature: float | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
    ) -> torch.Tensor:
        """Prompts and what follows them, [rows, tokens]; an encoder-decoder's without the prompts, after its start token.

        Args:
            input_ids: [rows, tokens], padded on the left for decoders.
            attention_mask: 0 on the padding.
            max_new_tokens: the most tokens that are written.
            do_sample: draw from the geometric mean, instead of taking its largest.
            temperature: of the draw.
            top_k: as transformers has it; only 0, all tokens.
            top_p: as transformers has it; only 1, all tokens.
        """
        assert top_k == 0 and top_p == 1.0, "all tokens may be drawn"
        rows = input_ids.shape[0]
        if is_encoder_decoder(self.config):
            start = self.generation_config.decoder_start_token_id
            written = input_ids.new_full((rows, 1), start)
            states: list[_Decoder | _EncoderDecoder] = [
                _EncoderDecoder(each, input_ids, attention_mask) for each in self.members
            ]
            following = written
        else:
            written = following = input_ids
            states = [_Decoder(each, attention_mask) for each in self.members]
        ends = self._ends(input_ids.device)
        pad = self.generation_config.pad_token_id
        filler = int(ends[0]) if pad is None and len(ends) else int(pad or 0)
        over = torch.zeros(rows, dtype=torch.bool, device=input_ids.device)
        for _ in range(max_new_tokens):
            scores = mean([log_probabilities(each.following(following)) for each in states])
            if do_sample:
                chances = (scores / (temperature or 1.0)).softmax(-1)
                chosen = torch.multinomial(chances, 1)[:, 0]
            else:
                chosen = scores.argmax(-1)
            chosen = chosen.masked_fill(over, filler)
            written = torch.cat([written, chosen[:, None]], dim=1)
            over |= torch.isin(chosen, ends)
            if bool(over.all()):
                break
            following = chosen[:, None]
        return written

    def _ends(self, device: torch.device) -> torch.Tensor:
        ends = self.generation_config.eos_token_id
        listed = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
        return torch.tensor(listed, dtype=torch.long, device=device)


def log_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """In float32, over the last dimension."""
    return logits.float().log_softmax(-1)


def mean(found: Sequence[torch.Tensor]) -> torch.Tensor:
    """The mean of the members' log-probabilities. Summed in float64, so their order changes nothing that is read."""
    total = found[0].double()
    for each in found[1:]:
        total = total + each.double()
    return (total / len(found)).float()


class _Decoder:
    """A decoder with its cache, padded on the left: positions count the tokens that are not padding."""

    def __init__(self, model: Any, mask: torch.Tensor) -> None:
        self._model, self._mask = model, mask
        self._cache: Any = None
        self._places = "position_ids" in inspect.signature(model.forward).parameters

    def following(self, tokens: torch.Tensor) -> torch.Tensor:
        """[rows, vocabulary]: what may follow all tokens so far and these."""
        if self._cache is not None:
            self._mask = torch.cat(
                [self._mask, self._mask.new_ones((tokens.shape[0], tokens.shape[1]))], dim=1
            )
        places = (self._mask.cumsum(-1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        found = self._model(
            input_ids=tokens,
            attention_mask=self._mask,
            past_key_values=self._cache,
            use_cache=True,
            **({"position_ids": places} if self._places else {}),
        )
        self._cache = found.past_key_values
        logits: torch.Tensor = found.logits[:, -1]
        return logits


class _EncoderDecoder:
    """An encoder-decoder with its cache: the prompt is read once."""

    def __init__(self, model: Any, ids: torch.Tensor, mask: torch.Tensor) -> None:
        self._model, self._mask = model, mask
        self._read = model.get_encoder()(input_ids=ids, attention_mask=mask)
        self._cache: Any = None

    def following(self, tokens: torch.Tensor) -> torch.Tensor:
        """[rows, vocabulary]: what may follow all tokens so far and these."""
        found = self._model(
            encoder_outputs=self._read,
            attention_mask=self._mask,
            decoder_input_ids=tokens,
            past_key_values=self._cache,
            use_cache=True,
        )
        self._cache = found.past_key_values
        logits: torch.Tensor = found.logits[:, -1]
        return logits
