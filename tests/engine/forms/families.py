"""Tiny tokenizers with the special tokens and the kind of chat template of known families of models.

The templates are written for these tests. Each has the structure of its family: what it writes around a message, what it
strips, how it treats a system message and reasoning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.lazily import Lazy

tokenizers, transformers = Lazy("tokenizers"), Lazy("transformers")

CHATML = (
    "{%- for message in messages %}{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
DEFAULT_SYSTEM = "{%- if messages[0]['role'] != 'system' %}{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{%- endif %}"
LLAMA3 = """{{- bos_token }}
{%- set date = strftime_now("%d %b %Y") if strftime_now is defined else "26 Jul 2024" %}
{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] | trim %}{%- set messages = messages[1:] %}
{%- else %}{%- set system = "" %}{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: " + date + "\\n\\n" + system + "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"""
QWEN3 = """{%- if messages[0].role == 'system' %}{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}{%- endif %}
{%- for message in messages %}
{%- if message.role == 'user' %}{{- '<|im_start|>user\\n' + message.content + '<|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}
    {%- set content = message.content %}{%- set reasoning_content = '' %}
    {%- if message.reasoning_content is string %}{%- set reasoning_content = message.reasoning_content %}
    {%- elif '</think>' in content %}
        {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {%- if loop.last %}{{- '<|im_start|>assistant\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
    {%- else %}{{- '<|im_start|>assistant\\n' + content }}{%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"""
GEMMA3 = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}{%- set first = messages[0]['content'] + '\\n\\n' -%}{%- set rest = messages[1:] -%}
{%- else -%}{%- set first = '' -%}{%- set rest = messages -%}{%- endif -%}
{%- for message in rest -%}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}{{ raise_exception("roles must alternate") }}{%- endif -%}
{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\\n' + (first if loop.first else '') }}
{{- message['content'] | trim }}{{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}"""
GEMMA2 = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) +"
    " '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
PHI3 = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"
)
MISTRAL = """{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] + '\\n\\n' %}{%- set messages = messages[1:] %}
{%- else %}{%- set system = '' %}{%- endif %}
{%- for message in messages %}
{%- if message['role'] == 'user' %}{{- '[INST] ' + (system if loop.last or loop.index0 == 0 else '') + message['content'] + '[/INST]' }}
{%- else %}{{- ' ' + message['content'] + eos_token }}{%- endif %}
{%- endfor %}"""
R1 = """{{ bos_token }}{% for message in messages %}
{%- if message['role'] == 'system' %}{{ message['content'] }}
{%- elif message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}
{%- else %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}
{{- '<｜Assistant｜>' + content + eos_token }}{%- endif %}
{%- endfor %}{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}"""
HARMONY = """{{- '<|start|>system<|message|>You are a chat model.<|end|>' }}
{%- for message in messages %}
{%- if message.role == 'assistant' %}
    {%- if message.thinking %}{{- '<|start|>assistant<|channel|>analysis<|message|>' + message.thinking + '<|end|>' }}{%- endif %}
    {{- '<|start|>assistant<|channel|>final<|message|>' + message.content + '<|return|>' }}
{%- else %}{{- '<|start|>' + ('developer' if message.role == 'system' else message.role) + '<|message|>' + message.content + '<|end|>' }}{%- endif %}
{%- endfor %}{%- if add_generation_prompt %}{{- '<|start|>assistant' }}{%- endif %}"""
NO_THINK = CHATML.replace("assistant\\n' }}{%- endif", "assistant\\n<think>\\n\\n</think>\\n\\n' }}{%- endif")

TEXTS = (
    "Ann flips. Bob waits. Is the coin still heads up? Ann: tails. Bob: tails. --> no",
    "user system assistant model developer Today Date: 26 Jul 2024 You are a helpful assistant.",
    "How many? 12 and 7 are 19. The answer, then, is 19.\n\nAnswer: 19 ### END <think> </think> <s> </s>",
)


@dataclass(frozen=True)
class Family:
    """A family: its template, its special tokens (other added tokens are in `marks`) and how it cuts texts."""

    template: str
    specials: tuple[str, ...]
    end: str
    turn: str
    """The token that ends a turn."""
    begin: str | None = None
    marks: tuple[str, ...] = ()
    metaspace: bool = False
    """As sentencepiece: spaces are letters, and every piece of text begins with one."""
    strips: bool = False
    """Special tokens swallow the spaces after them."""
    reasoning: str = "text"
    """Where a rationale goes by default."""
    notes: tuple[str, ...] = field(default=())
    """Parts of what is said when a form is opened."""


IM = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
HEADERS = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
GEMMA = ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>")
DEEP = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>")
OSS = ("<|return|>", "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|endoftext|>")
SECOND = "does not add a second one"
FAMILIES = {
    "llama-3": Family(
        LLAMA3, HEADERS, "<|eot_id|>", "<|eot_id|>", HEADERS[0], notes=(SECOND, "today's date")
    ),
    "qwen2.5": Family(DEFAULT_SYSTEM + CHATML, IM, "<|im_end|>", "<|im_end|>"),
    "qwen3": Family(
        QWEN3,
        IM,
        "<|im_end|>",
        "<|im_end|>",
        marks=("<think>", "</think>"),
        reasoning="template",
        notes=("before an answer: it is learned",),
    ),
    "gemma-3": Family(GEMMA3, GEMMA, "<eos>", "<end_of_turn>", "<bos>", metaspace=True, notes=(SECOND,)),
    "gemma-2": Family(GEMMA2, GEMMA, "<eos>", "<end_of_turn>", "<bos>", metaspace=True, notes=(SECOND,)),
    "phi-3": Family(
        PHI3,
        ("<s>", "</s>", "<|endoftext|>", "<|assistant|>", "<|user|>", "<|system|>", "<|end|>"),
        "<|endoftext|>",
        "<|end|>",
        metaspace=True,
        strips=True,
    ),
    "mistral": Family(
        MISTRAL, ("<s>", "</s>", "[INST]", "[/INST]"), "</s>", "</s>", "<s>", metaspace=True, notes=(SECOND,)
    ),
    "smollm2": Family(DEFAULT_SYSTEM.replace("a helpful", "the") + CHATML, IM, "<|im_end|>", "<|im_end|>"),
    "deepseek-r1": Family(
        R1,
        DEEP,
        DEEP[1],
        DEEP[1],
        DEEP[0],
        marks=("<think>", "</think>"),
        reasoning="think",
        notes=(SECOND, "otherwise than after its generation prompt"),
    ),
    "gpt-oss": Family(
        HARMONY,
        OSS,
        "<|return|>",
        "<|return|>",
        reasoning="template",
        notes=("before an answer: it is learned",),
    ),
    "no think": Family(
        NO_THINK, IM, "<|im_end|>", "<|im_end|>", notes=("otherwise than after its generation prompt",)
    ),
}


@cache
def tokenizer_json(name: str) -> str:
    """The trained tokenizer of a family, without its template."""
    family = FAMILIES[name]
    made = tokenizers.Tokenizer(
        tokenizers.models.BPE(byte_fallback=family.metaspace, fuse_unk=family.metaspace)
    )
    normal, before, decode = tokenizers.normalizers, tokenizers.pre_tokenizers, tokenizers.decoders
    if family.metaspace:
        prepend = [] if name.startswith("gemma") else [normal.Prepend("▁")]
        made.normalizer = normal.Sequence([*prepend, normal.Replace(" ", "▁")])
        strip = [decode.Strip(" ", 1, 0)] if prepend else []
        made.decoder = decode.Sequence(
            [decode.Replace("▁", " "), decode.ByteFallback(), decode.Fuse(), *strip]
        )
        alphabet = [f"<0x{byte:02X}>" for byte in range(256)]
    else:
        split = r"\s*[\r\n]+|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+"
        made.pre_tokenizer = before.Sequence(
            [
                before.Split(tokenizers.Regex(split), behavior="isolated"),
                before.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        made.decoder = decode.ByteLevel()
        alphabet = []
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=700,
        min_frequency=1,
        special_tokens=[*family.specials, *alphabet],
        initial_alphabet=before.ByteLevel.alphabet() if not family.metaspace else list("▁abcXYZ\n<>|/[]_"),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    plain = tokenizers.Tokenizer.from_str(made.to_str())
    text: str = plain.to_str()
    return text


def make_tokenizer(name: str) -> Any:
    """The tokenizer of a family with its template."""
    import json

    family = FAMILIES[name]
    data = json.loads(tokenizer_json(name))
    data["added_tokens"] = [
        {**token, "rstrip": family.strips}
        for token in data["added_tokens"]
        if token["content"] in family.specials
    ]
    made = tokenizers.Tokenizer.from_str(json.dumps(data))
    if family.marks:
        made.add_tokens(
            [tokenizers.AddedToken(mark, special=False, normalized=False) for mark in family.marks]
        )
    if family.begin:
        made.post_processor = tokenizers.processors.TemplateProcessing(
            single=f"{family.begin} $A", special_tokens=[(family.begin, made.token_to_id(family.begin))]
        )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token=family.begin,
        eos_token=family.end,
        pad_token=family.specials[0],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = family.template
    return tokenizer
