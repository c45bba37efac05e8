"""What the finish reasons of APIs mean.

Four words are ours: `stop`, `length`, `content_filter` and `refusal`. `unknown` stands for an answer that states none,
as small servers send them: it is taken as whole. A server that broke off an answer says so in a word of its own; such
an answer is none. Any other word is kept as it is, and the sample is flagged.
"""

from __future__ import annotations

import re

from engine.teachers.decode import clean

_KNOWN = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_of_text": "stop",
    "endoftext": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "stop_token": "stop",
    "stop_string": "stop",
    "complete": "stop",
    "completed": "stop",
    "normal": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "max_completion_tokens": "length",
    "max_length": "length",
    "model_length": "length",
    "token_limit": "length",
    "error_limit": "length",
    "model_context_window_exceeded": "length",
    "content_filter": "content_filter",
    "refusal": "refusal",
    "null": "unknown",
    "finish_reason_unspecified": "unknown",
}
_WITHHELD = re.compile(
    r"filter|safety|sensitive|prohibited|guardrail|block_?list|blocked|moderat|toxic|recitation|policy|violation|censor"
    r"|(?:^|_)spii(?:$|_)"
)
_BROKEN_OFF = re.compile(
    r"error|abort|cancel|fail|time_?out|time_limit|network|insufficient|interrupt|overload|unavailable|disconnect"
    r"|crash|preempt|exception|malformed|unfinished|not_finished|busy|exhausted|(?:^|_)(?:oom|killed|evicted)(?:$|_)"
)
_PREFIX = re.compile(r"^(?:finish|stop|done)_?reasons?[_.:]+")
_WORD_START = re.compile(r"(?<=[a-z])(?=[A-Z])")


def finish(reason: object) -> str:
    """`stop`, `length`, `content_filter`, `refusal`, or the API's own word; `unknown` if there is none."""
    if not isinstance(reason, str) or not reason:
        return "unknown"
    known = _KNOWN.get(reason)
    if known is not None:
        return known
    word = _plain(reason)
    known = _KNOWN.get(word) or _KNOWN.get(_PREFIX.sub("", word))
    if known is not None:
        return known
    return "content_filter" if _WITHHELD.search(word) else clean(reason[:64])


def broken_off(reason: str) -> bool:
    """Whether a finish reason, as `finish` returns it, says that the server broke the answer off."""
    return reason not in _KNOWN and _BROKEN_OFF.search(_plain(reason)) is not None


def _plain(reason: str) -> str:
    """A word in lower case with underscores, however the API writes it; what follows a colon explains it."""
    return re.sub(r"[\s-]+", "_", _WORD_START.sub("_", reason[:64].strip())).lower()
