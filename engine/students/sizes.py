"""The measures of the built-in students: three sizes of a decoder (Llama) and of an encoder-decoder (T5), untrained.

    name                        weights   width   layers   vocabulary (at most)
    builtin:nano                   56 k      32   3            500
    builtin:micro                 0.5 M      96   4          1,000
    builtin:mini                  5.8 M     256   6          4,000
    builtin:nano-t5                78 k      32   2 + 2        500
    builtin:micro-t5              0.9 M      96   3 + 3      1,000
    builtin:mini-t5                10 M     256   5 + 5      4,000

Weights are counted with a full vocabulary. The initial standard deviation of decoders is about 1/sqrt(width), since the
usual 0.02 learned far worse. The last thing nano learns is to copy the next name from a question. Three layers and faster
rotary positions (heads of eight numbers learn nothing from a base of 10,000) took coin flips with eight rationales from
63 % and 69 % on 200 dev questions (learning rate 3e-3, two seeds) to 92 %, 94 % and 83 % (4e-3, three seeds) in the
same number of steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import JobFailed

BUILTIN = "builtin:"
PIECES = r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s"
"""How the tokenizer of a built-in student splits text: no token crosses such a border."""


@dataclass(frozen=True, slots=True)
class Size:
    """The measures of a built-in student. `layers` is the number per side of an encoder-decoder."""

    width: int
    inner: int
    layers: int
    heads: int
    vocabulary: int
    rope_theta: float = 0.0
    """RoPE's theta of a decoder."""
    encoder_decoder: bool = False

    @property
    def weights(self) -> int:
        """The number of weights with a full vocabulary."""
        layer = 4 * self.width**2 + 3 * self.width * self.inner + 2 * self.width
        if not self.encoder_decoder:
            return self.width * (self.vocabulary + 1) + self.layers * layer
        writing = layer + 4 * self.width**2 + self.width
        distances = 2 * 32 * self.heads
        return self.width * (self.vocabulary + 2) + self.layers * (layer + writing) + distances


SIZES = {
    "nano": Size(32, 96, 3, 4, 500, 100.0),
    "micro": Size(96, 256, 4, 6, 1000, 1000.0),
    "mini": Size(256, 704, 6, 8, 4000, 10_000.0),
    "nano-t5": Size(32, 96, 2, 4, 500, encoder_decoder=True),
    "micro-t5": Size(96, 256, 3, 6, 1000, encoder_decoder=True),
    "mini-t5": Size(256, 704, 5, 8, 4000, encoder_decoder=True),
}


def size_of(base: str) -> Size | None:
    """The built-in student of that name; None for a base that is loaded.

    Raises:
        JobFailed: no built-in student has that name.
    """
    if not base.startswith(BUILTIN):
        return None
    size = SIZES.get(base.removeprefix(BUILTIN))
    if size is None:
        known = ", ".join(BUILTIN + name for name in SIZES)
        raise JobFailed(f"unknown built-in model {base!r}; known: {known}")
    return size
