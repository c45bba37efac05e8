"""The teachers that `coterie init` knows: each is one object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.strategies import STRATEGIES
from engine.teachers.dialects import dialect

FIRST = "zero-shot-cot"
"""The paper's strategy; a chat model gets the one that stands for it."""


def noted(line: str, note: str) -> str:
    """A line of TOML with a comment, which begins in column 30 where there is room."""
    return f"{line.ljust(29)} # {note}" if note else line


@dataclass(frozen=True, kw_only=True, slots=True)
class Starter:
    """A kind of teacher, as a table of `config.toml`."""

    name: str
    title: str
    table: str
    """The name of its table."""
    dialect: str
    model: str
    base_url: str = ""
    key_env: str = ""
    prices: tuple[float, float] | None = None
    """Dollars per million prompt and completion tokens of the model."""
    max_tokens: int = 1024
    more: tuple[str, ...] = ()
    """Further lines of the table."""

    @property
    def builtin(self) -> bool:
        """Whether the daemon serves it itself."""
        return not self.base_url

    def lines(self, model: str | None, base_url: str | None) -> Iterator[str]:
        """The table, with another model or address if they are given."""
        yield f"[teachers.{self.table}]"
        yield f'dialect = "{self.dialect}"'
        if self.builtin:
            yield noted(
                "builtin = true",
                "served by the daemon itself; it solves the built-in tasks, and its prices are play money",
            )
        else:
            yield f'base_url = "{base_url or self.base_url}"'
        yield f'model = "{model or self.model}"'
        if self.key_env:
            yield (
                f'api_key_env = "{self.key_env}"'.ljust(36)
                + '# or api_key_file = "…" (mode 0600); keys are never written in this file'
            )
        if self.prices is not None:
            note = "look them up: without prices no budget holds" if self.key_env else ""
            known = model in (None, self.model)
            for name, price in zip(("input", "output"), self.prices, strict=True):
                line = f"usd_per_million_{name} = {price if known else 0.0:.2f}"
                yield noted(line, note if name == "input" else "")
        yield from self.more

    def asked(self) -> Iterator[str]:
        """The lines of a plan that say how it is asked."""
        first = STRATEGIES[FIRST]
        chat = dialect(self.dialect).chat and not self.builtin and first.for_chat
        yield f'strategy = "{chat or FIRST}"'
        yield noted(f"max_tokens = {self.max_tokens}", "of a rationale; money is reserved by it")


LIMITS = (
    "# requests_per_minute = 500   # limits that you know; others are found while it runs",
    "# tokens_per_minute = 200_000",
    "# training_allowed = false    # some providers' terms forbid training on outputs: this leaves its samples out",
)

STARTERS: dict[str, Starter] = {
    each.name: each
    for each in (
        Starter(
            name="openai",
            table="gpt",
            title="an OpenAI-style chat API",
            dialect="openai-chat",
            base_url="https://api.openai.com/v1",
            model="gpt-4.1-mini",
            key_env="OPENAI_API_KEY",
            prices=(0.40, 1.60),
            more=LIMITS,
        ),
        Starter(
            name="openai-batch",
            table="gpt",
            title="OpenAI's Batch API, at half the price and within 24 hours",
            dialect="openai-batch",
            base_url="https://api.openai.com/v1",
            model="gpt-4.1-mini",
            key_env="OPENAI_API_KEY",
            prices=(0.40, 1.60),
            more=("# batch_discount = 0.5        # the prices above are halved", LIMITS[-1]),
        ),
        Starter(
            name="anthropic",
            table="claude",
            title="Anthropic's messages API",
            dialect="anthropic-messages",
            base_url="https://api.anthropic.com/v1",
            model="claude-haiku-4-5",
            key_env="ANTHROPIC_API_KEY",
            prices=(1.00, 5.00),
            more=(
                "# requests_per_minute = 50    # limits that you know; others are found while it runs",
                "# input_tokens_per_minute = 50_000",
                "# output_tokens_per_minute = 10_000",
                LIMITS[-1],
            ),
        ),
        Starter(
            name="vllm",
            table="local",
            title="a chat model on your own vLLM server (SGLang, llama.cpp and others speak the same)",
            dialect="openai-chat",
            base_url="http://127.0.0.1:8000/v1",
            model="Qwen/Qwen3-8B",
            max_tokens=2048,
            more=(
                '# api_key_env = "VLLM_API_KEY"  # if the server was started with --api-key',
                "# concurrency = 64            # unset: found by latency",
            ),
        ),
        Starter(
            name="vllm-base",
            table="local",
            title="a base model on your own vLLM server, which continues texts",
            dialect="openai-completions",
            base_url="http://127.0.0.1:8000/v1",
            model="Qwen/Qwen3-8B-Base",
            max_tokens=512,
            more=("# concurrency = 64            # unset: found by latency",),
        ),
        Starter(
            name="builtin",
            title="the built-in teacher, for a first look at no cost",
            dialect="openai-chat",
            model="practice-large",
            table="practice",
            prices=(0.15, 0.60),
            max_tokens=256,
            more=("concurrency = 64", "requests_per_minute = 12_000"),
        ),
    )
}
