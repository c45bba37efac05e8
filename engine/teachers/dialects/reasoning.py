"""Separates a model's reasoning from its answer: fields, parts of a content, tags and channels within the text."""

from __future__ import annotations

import re
from collections.abc import Mapping

from engine.teachers.messages import ReasoningKind

_OPENING = re.compile(
    r"\s*(?:<(?P<tag>think|thinking|thought|seed:think)>|(?P<mistral>\[THINK\])|(?P<kimi>◁think▷))",
    re.IGNORECASE,
)
_CLOSING = re.compile(r"</(?:think|thinking|thought|seed:think)>|\[/THINK\]|◁/think▷", re.IGNORECASE)
_OPENED = re.compile(r"<(?:think|thinking|thought|seed:think)>|\[THINK\]|◁think▷", re.IGNORECASE)
_CHANNEL = re.compile(
    r"<\|channel\|>\s*(?P<name>\w+).*?<\|message\|>(?P<text>.*?)(?=<\|(?:end|return|call|start|channel)\|>|\Z)",
    re.DOTALL,
)
_LEAKED = re.compile(r"\A\s*(?:assistant)?analysis(?P<thought>.*?)assistantfinal(?P<text>.*)\Z", re.DOTALL)
"""gpt-oss's channels after a server removed their marks."""

_MARKS = frozenset("<[◁")
_FIELDS = ("reasoning_content", "reasoning", "reasoning_text", "thinking", "thought")
_ALL_FIELDS = frozenset({*_FIELDS, "reasoning_details", "thinking_blocks"})


def split_think(text: str) -> tuple[str, str | None]:
    """Text without a leading block of reasoning, and the block; an unclosed block takes all of the text."""
    first = text[:1]
    if first == "a" or first.isspace():
        if "assistantfinal" in text and (leaked := _LEAKED.match(text)):
            return leaked["text"].lstrip(), leaked["thought"].strip() or None
    if first in _MARKS or first.isspace():
        if "<|channel|>" in text:
            return _channels(text)
        opened = _OPENING.match(text)
    else:
        opened = None
    if opened is not None:
        wanted = _closing_of(opened)
        for closing in _CLOSING.finditer(text, opened.end()):
            if closing[0].lower() == wanted:
                thought = text[opened.end() : closing.start()].strip()
                return text[closing.end() :].lstrip(), thought or None
        return "", text[opened.end() :].strip() or None
    if (
        text.rfind("</t") >= 0 or text.rfind("[/T") >= 0 or not text.isascii()
    ):  # faster than `in`, which looks from the start
        closed = _CLOSING.search(text)
        if closed is not None and not _OPENED.search(text, 0, closed.start()):  # opened in the prompt
            return text[closed.end() :].lstrip(), text[: closed.start()].strip() or None
    return text, None


def _closing_of(opened: re.Match[str]) -> str:
    """The closing tag of an opening one, in lower case."""
    if opened["tag"] is not None:
        return f"</{opened['tag'].lower()}>"
    return "[/think]" if opened["mistral"] is not None else "◁/think▷"


def _channels(text: str) -> tuple[str, str | None]:
    """The text of the channel `final`, and that of the others."""
    said: list[str] = []
    thoughts: list[str] = []
    for found in _CHANNEL.finditer(text):
        (said if found["name"] == "final" else thoughts).append(found["text"].strip())
    if not said and not thoughts:
        return text, None
    return "".join(said), "\n\n".join(thought for thought in thoughts if thought) or None


def reasoning_of(message: Mapping[str, object]) -> tuple[str | None, ReasoningKind | None]:
    """The reasoning in the fields of a message, and its kind."""
    if _ALL_FIELDS.isdisjoint(message):
        return None, None
    for field in _FIELDS:
        value = message.get(field)
        if value and isinstance(value, str):
            return value, "full"
    details = message.get("reasoning_details") or message.get("thinking_blocks")
    return _details(details) if isinstance(details, list) else (None, None)


def _details(items: list[object]) -> tuple[str | None, ReasoningKind | None]:
    """Reasoning as a list of typed items; text is preferred to summaries, and encrypted items are hidden."""
    texts: list[str] = []
    summaries: list[str] = []
    for item in items:
        if isinstance(item, dict):
            for key, into in (("text", texts), ("thinking", texts), ("summary", summaries)):
                if isinstance(value := item.get(key), str):
                    into.append(value)
    if said := "".join(texts):
        return said, "full"
    if said := "".join(summaries):
        return said, "summary"
    return None, "hidden" if items else None


def parts_of(parts: list[object]) -> tuple[str, str | None, ReasoningKind | None]:
    """Text, reasoning and its kind of a content that is a list of parts."""
    texts: list[str] = []
    thoughts: list[str] = []
    summaries: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        if not isinstance(part, dict):
            continue
        kind = part.get("type")
        thinks = isinstance(kind, str) and ("reason" in kind or "think" in kind)
        if isinstance(text := part.get("text"), str):
            (thoughts if thinks else texts).append(text)
        for field in ("thinking", "reasoning", "content"):
            thoughts += _inner(part.get(field)) if thinks or field != "content" else ()
        summaries += _inner(part.get("summary"))
    if thought := "".join(thoughts):
        return "".join(texts), thought, "full"
    if thought := "".join(summaries):
        return "".join(texts), thought, "summary"
    return "".join(texts), None, None


def _inner(value: object) -> list[str]:
    """The texts within a part: one, or a list of parts."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        return []
    return [item["text"] for item in value if isinstance(item, dict) and isinstance(item.get("text"), str)]
